"""What the modules share that train policies in simulators: parts, sessions, judging, stepping.

Sessions are played inside the training step, so that no update sees those of an older policy than
its learner means it to.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.learners.algorithms import Learner
from lightrec.learners.imitation import READ, REWARD, LearnableReward
from lightrec.learners.simulator_data import Playground, SimulatorData
from lightrec.learners.transitions import (
    CLICKED_COLUMN,
    FEATURES,
    PACKED,
    SLATE,
    clicked_column,
    drawn,
    pack,
    unpack,
)
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.precision import full_precision
from lightrec.nn.session import perceptron
from lightrec.nn.slate_law import columns_at, items_at
from lightrec.nn.stage import StageModule
from lightrec.policies.base import LearnedPolicy, TwoTowerPolicy, session_start
from lightrec.rewards.combined import moments
from lightrec.simulators.rollout import UserMemory, play
from lightrec.trust import built


class PolicyStage(StageModule):
    """Trains a policy and a critic in a simulator, with manual optimization.

    An epoch begins with fresh sessions, so that one resumed at an epoch's end goes on as it would
    have. A reward that learns takes its steps first, on demonstrations and on what was just played;
    the policy then learns from what it says.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss_settings: of the loss, such as ``clip_epsilon`` and ``entropy_coeff`` of ``ppo``.
    :param critic_hidden: widths of the critic's hidden layers.
    :param final_rate: part of the learning rate that is left in the last epoch.
    :param time_aware: whether the simulator's own cuts, at its step limit or where nothing is left
        to show, end the task, as where returns are counted up to there and the policy sees the time
        (Pardo et al. 2018, "Time limits in reinforcement learning").
    :param reward_scale: what rewards are multiplied by, so that returns are of order 1 to 10.
    :param validation_seed: seed of the judging sessions.
    :param continues: folder of an earlier policy of the same class, of this catalog or another:
        what learns starts from its weights, save those with a row for every item.
    :param reward: learned from the data's demonstrations, and what the policy is trained on in
        place of the simulator's own reward, by which it is still judged: ``GAIL``, ``AIRL`` or,
        with a replay buffer, ``SQIL``.
    """

    monitor: ClassVar[str] = "validation/return"
    mode: ClassVar[Literal["min", "max"]] = "max"
    learners: ClassVar[Mapping[str, type[Learner]]]
    """What can be named as ``loss``."""
    policy: LearnedPolicy

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss_settings: dict[str, float | bool | int | str] | None = None,
        critic_hidden: tuple[int, ...] = (64,),
        final_rate: float = 1.0,
        time_aware: bool = False,
        reward_scale: float = 1.0,
        validation_seed: int = 0,
        reward: LearnableReward | None = None,
        continues: str | None = None,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters(ignore=["reward"])
        # In a tuple, which hides it: what is made of it is a part of the module.
        self._template = (reward,)
        self.reward: LearnableReward | None = None
        self.automatic_optimization = False
        self._learned: dict[str, Tensor] = {}
        self._measured: dict[str, Tensor] = {}
        self._state: TensorDictBase | None = None
        self._shown = torch.zeros(num_items + 1, dtype=torch.bool)
        self._steps = {"train": 0, "validation": 0}

    def setup(self, stage: str) -> None:
        """Build the policy and the reward on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        if self.trainer.world_size > 1:
            raise RecipeError(
                f"{type(self).__name__} plays its own sessions and trains in one process, and the "
                f"recipe asks for {self.trainer.world_size}. Set trainer.devices to 1; the ranker, "
                "users_a and users_b stages can train in several."
            )
        data, hidden = self._data, self.settings.critic_hidden
        if not hasattr(self, "policy"):
            self._build(self._kind.wrap(data.make_policy(), data.slate_size, hidden))
            if self.settings.continues is not None:
                self.policy.move(LearnedPolicy.load(self.settings.continues))
        (given,) = self._template
        if given is not None and self.reward is None:
            size = self.policy.feature_size
            self.reward = given.fitted_to(size, data.vectors, data.slate_size)

    @property
    def _kind(self) -> type[Learner]:
        return self.learners[self.settings.loss]

    def _build(self, policy: LearnedPolicy) -> None:
        hidden = self.settings.critic_hidden
        self.policy = policy
        self.critic = perceptron([policy.feature_size, *hidden, 1])
        self.others = nn.ModuleDict(self._kind.networks(policy, hidden))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the weights do not: how parts are built, and what the learner has of its own.

        These are target networks and the loss's own numbers.
        """
        checkpoint["policy"] = self.policy.description
        checkpoint["environment_steps"] = dict(self._steps)
        if self.reward is not None:
            checkpoint["learned_reward"] = self.reward.description
        if self.ground.reward is not None:
            checkpoint["reward"] = moments(self.ground.reward).state_dict()
        own = {tensor.data_ptr() for tensor in self.state_dict().values()}
        checkpoint["learner"] = {
            name: value
            for name, value in self.learner.state_dict().items()
            if isinstance(value, Tensor) and value.data_ptr() not in own
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the parts that the weights belong to, and take back the rest."""
        if not hasattr(self, "policy"):
            self._build(built(checkpoint["policy"], LearnedPolicy))
        if self.reward is None and "learned_reward" in checkpoint:
            self.reward = built(checkpoint["learned_reward"], LearnableReward)
        self._measured = checkpoint.get("reward", {})
        self._steps |= checkpoint.get("environment_steps", {})
        self._learned = checkpoint.get("learner", {})

    @property
    def _data(self) -> SimulatorData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, SimulatorData):
            raise RecipeError(
                f"A {type(self).__name__} needs a SimulatorData, such as PolicyData or WorldData, "
                f"which brings a simulator; the recipe has {type(data).__name__}."
            )
        return data

    @cached_property
    def ground(self) -> Playground:
        """The simulators, made when first asked for, on the module's device."""
        settings = self.settings
        ground = self._data.playground(settings.sessions, settings.discount, self.device)
        if ground.reward is not None and self._measured:
            moments(ground.reward).load_state_dict(self._measured)
        self._shown = self._shown.to(self.device)
        return ground

    @cached_property
    def learner(self) -> Learner:
        """The loss around the module's networks, which are not the module's a second time."""
        learner = self._kind(
            self.policy,
            self.critic,
            self.others,
            slate_size=self.ground.train.slate_size,
            discount=self._discount,
            tau=self.settings.get("tau", 1.0),
            settings=self.settings.loss_settings or {},
        ).to(self.device)
        learner.load_state_dict(self._learned, strict=False)
        return learner

    @property
    def _discount(self) -> float:
        return float(self.settings.discount * self.ground.continuation_probability)

    def on_fit_start(self) -> None:
        """Draw what the beginning draws before the first epoch is seeded, resumed or not."""
        assert self.ground
        if self.reward is not None:
            assert len(self.demonstrations)

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch; set the rate."""
        self._state = self.ground.train.reset()
        self._memory = UserMemory(self.policy.user_vectors)
        self._shown.zero_()
        for group in self._optimizer(0).param_groups:
            rate = self.settings.learning_rate
            group["lr"] = rate * (1 - (1 - self.settings.final_rate) * self.progress)

    @property
    def progress(self) -> float:
        """How far training has come: 0 in the first epoch, 1 in the last."""
        last = max(1, (self.trainer.max_epochs or 1) - 1)
        return min(1.0, self.current_epoch / last)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Give Adam over the policy's networks and the loss's numbers, and the reward's own."""
        networks = self.policy, self.critic, self.others, self.learner
        found = {id(p): p for network in networks for p in network.parameters()}
        learned = [p for p in found.values() if p.requires_grad]
        policy = torch.optim.Adam(learned, self.settings.learning_rate)
        own = None if self.reward is None else self.reward.optimizer()
        return [policy] if own is None else [policy, own]

    def _optimizer(self, which: int) -> LightningOptimizer:
        found = self.optimizers()
        optimizer = found[which] if isinstance(found, list) else found
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def see(
        self, states: TensorDictBase, read: Callable[[Tensor], Tensor] | None = None
    ) -> TensorDictBase:
        """Add user vectors and features to states.

        :param read: makes user vectors of histories; the policy does by default.
        """
        states[Key.USER_VECTOR] = (read or self.policy.user_vectors)(states[Key.HISTORY])
        return states.set(FEATURES, self.policy.session_features(states))

    def _read(self, state: TensorDictBase) -> TensorDictBase:
        """Take of a state what learners read, masks packed: they are nearly all of it."""
        more = [key for key in (Key.CANDIDATES, Key.ABSORBING) if key in state]
        found = state.select(*self.policy.reads, FEATURES, *more)
        return found if Key.CANDIDATES in more else found.set(PACKED, pack(state[Key.MASK]))

    def _with_masks(self, rows: TensorDictBase) -> TensorDictBase:
        """Give rows (R,), and what follows, the masks that were packed while they were played."""
        for state in (rows, rows.get("next", None)):
            if state is not None and PACKED in state:
                state[Key.MASK] = unpack(state.pop(PACKED), self.num_items + 1)
        return rows

    @torch.no_grad()
    def _play(self, epsilon: float = 0.0) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions, the reset states nowhere among them.

        :param epsilon: with which probability to explore, for policies that are no laws.
        """
        rows = []
        if self.policy.tune:  # its way of reading histories has moved
            self._memory = UserMemory(self.policy.user_vectors)
        assert self._state is not None
        state = self.see(self._state, self._memory)
        row = self._read(state)
        for _ in range(self.settings.steps):
            columns, log_probability = self.learner.act(state, epsilon)
            slate = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = self.ground.train.step_and_maybe_reset(
                state.set(Key.ACTION, slate)
            )
            following = played["next"]
            state = self.see(self._state, self._memory)
            after = self._read(state)
            row.update({Key.ACTION: columns, Key.LOG_PROBABILITY: log_probability, SLATE: slate})
            row[CLICKED_COLUMN] = clicked_column(columns, following[Key.TAKEN])
            row["next"] = after.copy()
            over = following["done"].squeeze(1).nonzero().squeeze(1)
            if len(over):  # what followed there is not what a reset has put in its place
                last = self._read(self.see(following[over]))
                row["next"] = after.apply(lambda a, b, over=over: a.index_copy(0, over, b), last)
            for name in ("reward", "done", "terminated", Key.ACCEPTED):
                row["next", name] = following[name]
            rows.append(row)
            row = after.copy()
        return TensorDict.stack(rows, 1)

    @cached_property
    def demonstrations(self) -> TensorDictBase:
        """The data's demonstrations (R,) as the policy sees them; marked, with columns."""
        rows = self._data.demonstrations().to(self.device)
        slate, following = rows[Key.ACTION], rows["next"]
        with torch.no_grad():
            made = self._read(self.see(rows))
            made["next"] = self._read(self.see(following))
        made[SLATE], made[Key.ACTION] = slate, columns_at(slate, rows.get(Key.CANDIDATES, None))
        taken = following.get(Key.TAKEN, torch.zeros_like(slate, dtype=torch.bool))
        made[CLICKED_COLUMN] = clicked_column(made[Key.ACTION], taken)
        for name in ("done", "terminated"):
            made["next", name] = following["terminated"]
        return made

    def _law(self, rows: TensorDictBase) -> PlackettLuce:
        """Give the present policy's law of the slates of transitions (R,), over columns."""
        return self.policy.columns(self._with_masks(rows), rows[SLATE].shape[-1])

    @torch.no_grad()
    def _for_reward(self, rows: TensorDictBase, own: bool = False) -> TensorDictBase:
        """Give transitions (R,) as rewards see them: items, and the policy's own probability.

        :param own: whether the present policy played them, so that its probability is there.
        """
        found = rows.select(*READ, strict=False).set(Key.ACTION, rows[SLATE])
        if not own and self.reward is not None and self.reward.reads_probability:
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
            for _ in range(reward.cloning):
                rows = drawn(self.demonstrations, reward.batch_size)
                likelihood = self._law(rows).log_prob(rows[Key.ACTION]).mean()
                outcome = self._update({"loss_cloning": -likelihood})
            self._log_means(outcome)
            return False  # what was played is no longer this policy's
        own = self._for_reward(played.flatten(), own=True)
        size, outcomes = min(reward.batch_size, len(own)), []
        for _ in range(reward.updates):
            expert = self._for_reward(drawn(self.demonstrations, size))
            outcomes.append(self._update(reward.losses(expert, drawn(own, size)), 1))
        waiting = iteration < reward.warm_up + bool(reward.cloning)
        reward.end_iteration(waiting)
        self._log_means(*outcomes)
        played["next", "reward"] = reward(own).unflatten(0, played.batch_size)
        return not waiting

    def item_vectors(self) -> Tensor | None:
        """Give the rows of the policy's item table, (N + 1, D); None where it has none."""
        return self.policy.item_table() if isinstance(self.policy, TwoTowerPolicy) else None

    def scores_of(self, histories: Tensor) -> Tensor:
        """Give the policy's scores of all items at the start of sessions."""
        return self.policy.scores(session_start(histories))

    def _ended(self, following: TensorDictBase) -> Tensor:
        """Say after which steps nothing more was to come.

        :param following: ``next`` of transitions.
        """
        # Where leaving is a part of the discount, who left in the simulator was only cut.
        terminated, done = following["terminated"], following["done"]
        only_cut = self.ground.continuation_probability < 1
        ended = torch.zeros_like(terminated) if only_cut else terminated
        if not self.settings.time_aware:
            return ended
        last = following[Key.STEP] >= self.ground.train.max_steps
        return ended | (done & (~terminated | last))

    def _update(self, losses: Mapping[str, Tensor], which: int = 0) -> dict[str, Tensor]:
        """Step on the sum of all that starts with ``loss``, and give what is to be logged.

        :param which: of the optimizers; 0 is the policy's.
        """
        optimizer = self._optimizer(which)
        self.latest |= {f"train/{name}": value.detach().mean() for name, value in losses.items()}
        total = torch.stack([v.sum() for n, v in losses.items() if n.startswith("loss")]).sum()
        optimizer.zero_grad()
        self.manual_backward(total)
        self.clip_gradients(optimizer.optimizer, self.settings.max_gradient, "norm")
        optimizer.step()
        return {name: value.detach().float().mean() for name, value in losses.items()}

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
        weight = getattr(self.policy, "utility_weight", None)
        if weight is not None:
            values["utility_weight"] = weight.detach()
        self._log_means(values)

    def _log_means(self, *outcomes: Mapping[str, Tensor]) -> None:
        """Log the means over what one or several updates gave."""
        for name in outcomes[0] if outcomes else ():
            mean = torch.stack([each[name].float() for each in outcomes]).mean()
            self.log(f"train/{name}", mean, on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge the policy on the judging users, always under the same chance."""
        self.log_dict(self.judge(), batch_size=1)

    def judge(self) -> dict[str, float]:
        """Play the judging sessions, showing the items of highest score; give their metrics."""
        ground, seed = self.ground, self.settings.validation_seed
        # Nothing here may move the generator that training draws from.
        with torch.random.fork_rng(), full_precision(self.device):
            sessions, _ = play(self.policy, ground.judging, ground.users, seed)
        self._steps["validation"] += int(sessions.length.sum())
        return {f"validation/{name}": value for name, value in sessions.metrics().items()}

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
        return self.judge() | {f"{name}/environment_steps": n for name, n in self._steps.items()}
