"""What the modules share that train policies in simulators: parts, sessions, judging, stepping.

Sessions are played inside the training step, so that no update sees those of an older policy than
its learner means it to.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.data.processes import only_one
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.learners.imitation import LearnableReward
from lightrec.learners.learner import Learner
from lightrec.learners.simulator_data import Playground, SimulatorData
from lightrec.learners.transitions import (
    CLICKED_COLUMN,
    FEATURES,
    PACKED,
    SLATE,
    Recorded,
    clicked_column,
    kept,
    pack,
    unpack,
)
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.precision import full_precision
from lightrec.nn.session import SessionValue
from lightrec.nn.slate_law import columns_at, items_at
from lightrec.nn.stage import StageModule
from lightrec.policies.base import LearnedPolicy, UserMemory
from lightrec.rewards.combined import Measured, measured_of, put_measured
from lightrec.simulators.rollout import play
from lightrec.trust import built

REWARD = "reward"
"""Where a reward that was learned is left, below the policy's folder."""


class PolicyStage(StageModule):
    """Trains a policy and a critic in a simulator, with manual optimization.

    An epoch begins with fresh sessions, so that one resumed at an epoch's end goes on as it would
    have.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param reward: learned from the data's demonstrations, and what the policy is trained on in
        place of the simulator's own reward, by which it is still judged.
    :param settings: the constructor's arguments stand in ``self.hparams``; of these ``loss``,
        ``loss_settings``, ``policy_settings``, ``critic_hidden``, ``sessions``, ``steps``,
        ``discount``, ``learning_rate``, ``final_rate``, ``time_aware``, ``reward_scale``,
        ``max_gradient`` and ``validation_seed`` are read here.
    """

    monitor: ClassVar[str] = "validation/return"
    mode: ClassVar[Literal["min", "max"]] = "max"
    learners: ClassVar[Mapping[str, type[Learner]]]
    """What can be named as ``loss``."""
    policy: LearnedPolicy
    critic: SessionValue

    def __init__(
        self, num_items: int, vector_size: int, reward: LearnableReward | None = None
    ) -> None:
        super().__init__(num_items, vector_size)
        self.automatic_optimization = False
        # In tuples, which hide them: what is made of the reward is a part of the module, and the
        # learner's networks are the module's.
        self._template = (reward,)
        self.reward: LearnableReward | None = None
        self._learner: tuple[Learner, ...] = ()
        self._learned: dict[str, Tensor] = {}
        self._ground: Playground | None = None
        self._demonstrations: Recorded | None = None
        self._measured: Measured = {}
        self._state: TensorDictBase | None = None
        self._shown = torch.zeros(num_items + 1, dtype=torch.bool)
        self._steps = {"train": 0, "validation": 0}

    @property
    def _settings(self) -> Any:
        return self.hparams

    def setup(self, stage: str) -> None:
        """Build the policy and the reward on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        only_one(self.trainer.world_size, self)
        if not hasattr(self, "policy"):
            plain = self._data.make_policy(self._settings.policy_settings or {})
            size = self._data.slate_size
            self._build(self.learners[self._settings.loss].wrap(plain, size, self._settings))
            (given,) = self._template
            if given is not None:
                vectors = self._data.vectors
                self.reward = given.fitted_to(self.policy.feature_size, vectors, size)

    def _build(self, policy: LearnedPolicy) -> None:
        self.policy = policy
        self.critic = SessionValue(policy.feature_size, self._settings.critic_hidden)
        self.others = self.learners[self._settings.loss].networks(policy, self._settings)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the weights do not: how parts are built, and what the learner has of its own.

        These are target networks and the loss's own numbers.
        """
        checkpoint["policy"] = self.policy.description
        checkpoint["environment_steps"] = dict(self._steps)
        if self.reward is not None:
            checkpoint["learned_reward"] = self.reward.description
        if self._ground is not None and self._ground.reward is not None:
            checkpoint["reward"] = measured_of(self._ground.reward)
        own = {tensor.data_ptr() for tensor in self.state_dict().values()}
        checkpoint["learner"] = {
            name: value
            for learner in self._learner
            for name, value in learner.state_dict().items()
            if isinstance(value, Tensor) and value.data_ptr() not in own
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the parts that the weights belong to, and take back the rest."""
        if not hasattr(self, "policy"):
            self._build(built(checkpoint["policy"], LearnedPolicy))
            if "learned_reward" in checkpoint:
                self.reward = built(checkpoint["learned_reward"], LearnableReward)
        self._measured = checkpoint.get("reward", {})
        self._steps |= checkpoint.get("environment_steps", {})
        self._learned = checkpoint.get("learner", {})
        for learner in self._learner:
            learner.load_state_dict(self._learned, strict=False)

    @property
    def _data(self) -> SimulatorData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, SimulatorData):
            raise RecipeError(
                f"A {type(self).__name__} needs a SimulatorData, such as PolicyData or WorldData, "
                f"which brings a simulator; the recipe has {type(data).__name__}."
            )
        return data

    @property
    def ground(self) -> Playground:
        """The simulators, made when first asked for, on the module's device."""
        if self._ground is None:
            settings = self._settings
            made = self._data.playground(settings.sessions, settings.discount, self.device)
            if made.reward is not None:
                put_measured(made.reward, self._measured)
            self._shown = self._shown.to(self.device)
            self._ground = made
        return self._ground

    @property
    def learner(self) -> Learner:
        """The loss around the module's networks, made when first asked for."""
        if not self._learner:
            learner = self.learners[self._settings.loss](
                self.policy,
                self.critic,
                self.others,
                slate_size=self.ground.train.slate_size,
                has_mask=self.offered == Key.MASK,
                discount=self._discount,
                tau=self._settings.get("tau", 1.0),
                settings=self._settings.loss_settings or {},
            ).to(self.device)
            if self._learned:
                learner.load_state_dict(self._learned, strict=False)
            self._learner = (learner,)
        return self._learner[0]

    @property
    def _discount(self) -> float:
        return float(self._settings.discount * self.ground.continuation_probability)

    def on_fit_start(self) -> None:
        """Draw what building simulators draws before the first epoch is seeded, resumed or not."""
        assert self.ground
        if self.reward is not None:
            assert self.demonstrations

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch; set the rate."""
        self._state = self.ground.train.reset()
        self._memory = UserMemory(self.policy)
        self._shown.zero_()
        for group in self._optimizer(0).param_groups:
            rate = self._settings.learning_rate
            group["lr"] = rate * (1 - (1 - self._settings.final_rate) * self.progress)

    @property
    def progress(self) -> float:
        """How far training has come: 0 in the first epoch, 1 in the last."""
        last = max(1, (self.trainer.max_epochs or 1) - 1)
        return min(1.0, self.current_epoch / last)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Give Adam over the policy's networks and the loss's own numbers, and the reward's own."""
        networks = self.policy, self.critic, self.others, self.learner
        found = {id(p): p for network in networks for p in network.parameters()}
        learned = [p for p in found.values() if p.requires_grad]
        own = None if self.reward is None else self.reward.optimizer()
        adam = torch.optim.Adam(learned, self._settings.learning_rate)
        return [adam] if own is None else [adam, own]

    def _optimizer(self, which: int) -> LightningOptimizer:
        found = self.optimizers()
        optimizer = found[which] if isinstance(found, list) else found
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def see(self, state: TensorDictBase) -> TensorDictBase:
        """Add the user vectors and the features of the training sessions' present states."""
        state[Key.USER_VECTOR] = self._memory(state[Key.HISTORY])
        return state.set(FEATURES, self.policy.session_features(state))

    def see_apart(self, states: TensorDictBase) -> TensorDictBase:
        """Add user vectors and features to any states (R,)."""
        states[Key.USER_VECTOR] = self.policy.user_vectors(states[Key.HISTORY])
        return states.set(FEATURES, self.policy.session_features(states))

    @property
    def offered(self) -> str:
        """The key that says what may be shown."""
        return Key.MASK if self.ground.train.offer_size is None else Key.CANDIDATES

    def _read(self, state: TensorDictBase) -> TensorDict:
        """Take of a state what learners read, masks packed: they are nearly all of it."""
        found = kept([*self.policy.reads, FEATURES], state)
        if self.offered == Key.MASK:
            found[PACKED] = pack(state[Key.MASK])
        else:
            found[Key.CANDIDATES] = state[Key.CANDIDATES]
        if Key.ABSORBING in state:
            found[Key.ABSORBING] = state[Key.ABSORBING]
        return found

    def _with_masks(self, rows: TensorDictBase) -> TensorDictBase:
        """Give rows (R,), and what follows, the masks that were packed while they were played."""
        for state in (rows, rows.get("next", None)):
            if state is not None and PACKED in state:
                state[Key.MASK] = unpack(state.pop(PACKED), self.num_items + 1)
        return rows

    @property
    def epsilon(self) -> float:
        """With which probability to explore, for policies that are no laws."""
        return 0.0

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions, the reset states nowhere among them."""
        rows = []
        if self.policy.tune:  # its way of reading histories has moved
            self._memory = UserMemory(self.policy)
        assert self._state is not None
        state = self.see(self._state)
        row = self._read(state)
        for _ in range(self._settings.steps):
            columns, log_probability = self.learner.act(state, self.epsilon)
            slate = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = self.ground.train.step_and_maybe_reset(
                state.set(Key.ACTION, slate)
            )
            following = played["next"]
            state = self.see(self._state)
            after = self._read(state)
            over = following["done"].squeeze(1).nonzero().squeeze(1)
            last = self._read(self.see_apart(following[over])) if len(over) else None
            row.update({Key.ACTION: columns, Key.LOG_PROBABILITY: log_probability, SLATE: slate})
            row[CLICKED_COLUMN] = clicked_column(columns, following[Key.TAKEN])
            row["next"] = after.copy() if last is None else _replaced(after, over, last)
            for name in ("reward", "done", "terminated", Key.ACCEPTED):
                row["next", name] = following[name]
            rows.append(row)
            row = after.copy()
        return TensorDict.stack(rows, 1)

    def _ended(self, following: TensorDictBase) -> Tensor:
        """Say after which steps nothing more was to come.

        :param following: ``next`` of transitions.
        """
        # Where leaving is a part of the discount, who left in the simulator was only cut.
        terminated, done = following["terminated"], following["done"]
        only_cut = self.ground.continuation_probability < 1
        ended = torch.zeros_like(terminated) if only_cut else terminated
        if not self._settings.time_aware:
            return ended
        last = following[Key.STEP] >= self.ground.train.max_steps
        return ended | (done & (~terminated | last))

    @property
    def demonstrations(self) -> Recorded:
        """The data's demonstrations as the policy sees them; marked, with columns."""
        if self._demonstrations is None:
            rows = self._data.demonstrations().to(self.device)
            with torch.no_grad():
                made = self._read(self.see_apart(rows))
                made["next"] = self._read(self.see_apart(rows["next"]))
            slate = rows[Key.ACTION]
            made[SLATE], made[Key.ACTION] = slate, columns_at(slate, rows.get(Key.CANDIDATES, None))
            taken = rows["next"].get(Key.TAKEN, torch.zeros_like(slate, dtype=torch.bool))
            made[CLICKED_COLUMN] = clicked_column(made[Key.ACTION], taken)
            for name in ("done", "terminated"):
                made["next", name] = rows["next", "terminated"]
            self._demonstrations = Recorded(made)
        return self._demonstrations

    def _law(self, rows: TensorDictBase) -> PlackettLuce:
        """Give the present policy's law of the slates of transitions (R,), over columns."""
        return self.policy.columns(self._with_masks(rows), rows[SLATE].shape[-1])

    @torch.no_grad()
    def _for_reward(self, rows: TensorDictBase, own: bool = False) -> TensorDictBase:
        """Give transitions (R,) as rewards see them: items, and the policy's own probability.

        :param own: whether the present policy played them, so that its probability is there.
        """
        found = rows.exclude(PACKED).set(Key.ACTION, rows[SLATE])
        if not own:
            found[Key.LOG_PROBABILITY] = self._law(rows.copy()).log_prob(rows[Key.ACTION])
        return found

    def _imitate(self, played: TensorDict, batch_index: int) -> bool:
        """Let the reward take its steps, and put what it says in the place of the simulator's own.

        :returns: whether the policy learns from it already.
        """
        reward = self.reward
        if reward is None:
            return True
        iteration = self.current_epoch * int(self.trainer.num_training_batches) + batch_index
        if iteration == 0 and reward.cloning:
            self._clone(reward.cloning, reward.batch_size)
            return False  # what was played is no longer this policy's
        rows, means = self._for_reward(played.flatten(), own=True), Means()
        own, size = Recorded(rows), min(reward.batch_size, len(rows))
        for _ in range(reward.updates):
            expert = self._for_reward(self.demonstrations.sample(size))
            losses = reward.losses(expert, own.sample(size))
            self._update(losses, 1)
            means.add(losses)
        waiting = iteration < reward.warm_up + bool(reward.cloning)
        reward.end_iteration(waiting)
        self._log_means(means.all())
        played["next", "reward"] = reward(rows).unflatten(0, played.batch_size)
        return not waiting

    def _clone(self, steps: int, batch_size: int) -> None:
        for _ in range(steps):
            rows = self.demonstrations.sample(batch_size)
            loss = {"loss_cloning": -self._law(rows).log_prob(rows[Key.ACTION]).mean()}
            self._update(loss)
        self._log_means(loss)

    def _update(self, losses: Mapping[str, Tensor], which: int = 0) -> None:
        """Step on the sum of all that starts with ``loss``.

        :param which: 0 for the policy's optimizer, 1 for the reward's.
        """
        optimizer = self._optimizer(which)
        total = torch.stack([v.sum() for n, v in losses.items() if n.startswith("loss")]).sum()
        optimizer.zero_grad()
        self.manual_backward(total)
        self.clip_gradients(optimizer.optimizer, self._settings.max_gradient, "norm")
        optimizer.step()

    def _log_play(self, rows: TensorDict) -> None:
        """Log what was just played."""
        following = rows["next"]
        self._shown[rows[SLATE].flatten()] = True
        self._steps["train"] += rows.numel()
        ended = following["done"].sum().clamp_min(1)
        values = {
            "reward_per_step": following["reward"].mean(),
            "acceptance": following[Key.ACCEPTED].mean(),
            "length": (following[Key.STEP] * following["done"]).sum() / ended,
            "coverage": self._shown[PADDING + 1 :].float().mean(),
        }
        utility_weight = getattr(self.policy, "utility_weight", None)
        if isinstance(utility_weight, Tensor):
            values["utility_weight"] = utility_weight.detach()
        self._log_means(values)

    def _log_means(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.log(f"train/{name}", value.float(), on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge the policy on the judging users, always under the same chance."""
        for name, value in self.judge().items():
            self.log(f"validation/{name}", value, prog_bar=name == "return", batch_size=1)

    def judge(self) -> dict[str, float]:
        """Play the judging sessions, showing the items of highest score."""
        ground, seed = self.ground, self._settings.validation_seed
        # Nothing here may move the generator that training draws from.
        with torch.random.fork_rng(), full_precision(self.device):
            sessions, _ = play(self.policy, ground.judging, ground.users, seed)
        self._steps["validation"] += int(sessions.length.sum())
        return sessions.metrics()

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, its encoder included, and the reward if one was learned; judge again.

        :returns: next to the judging's metrics, how many steps of users were played in all, to
            train and to judge.
        """
        self.policy.save_pretrained(folder)
        if self.reward is not None:
            self.reward.save_pretrained(folder / REWARD)
        # Lightning has moved the networks to the CPU, and the sessions are where they were.
        self.to(self.ground.judging.device)
        found = {f"validation/{name}": value for name, value in self.judge().items()}
        return found | {f"{name}/environment_steps": n for name, n in self._steps.items()}


class Means:
    """Means of what many updates say."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one update's."""
        for name, found in values.items():
            value = found.detach().float().mean()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] += 1

    def all(self) -> dict[str, Tensor]:
        """Give the means."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def _replaced(states: TensorDict, rows: Tensor, others: TensorDict) -> TensorDict:
    """Give states (B, ...) with others (R, ...) in some rows (R,)."""
    whole: TensorDict = states.apply(lambda all_, some: all_.index_copy(0, rows, some), others)
    return whole
