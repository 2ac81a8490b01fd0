"""What the modules share that train policies in simulators: parts, sessions, judging, stepping.

Sessions are played inside the training step, so that no update sees those of an older policy than
its learner means it to.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.data.processes import only_one
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.learners.playground import Playground, SimulatorData
from lightrec.learners.policy_losses import FEATURES
from lightrec.nn.part import describe
from lightrec.nn.precision import full_precision
from lightrec.nn.session import SessionValue
from lightrec.nn.stage import StageModule
from lightrec.policies.base import LearnedPolicy, UserMemory
from lightrec.rewards.combined import Measured, measured_of, put_measured
from lightrec.simulators.rollout import play


class PolicyStage(StageModule):
    """Trains a policy and a critic in a simulator, with manual optimization.

    An epoch begins with fresh sessions, so that one resumed at an epoch's end goes on as it would
    have.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param settings: the constructor's arguments stand in ``self.hparams``; of these
        ``policy_settings``, ``critic_hidden``, ``sessions``, ``discount``, ``learning_rate``,
        ``final_rate``, ``time_aware``, ``max_gradient`` and ``validation_seed`` are read here.
    """

    monitor: ClassVar[str] = "validation/return"
    mode: ClassVar[Literal["min", "max"]] = "max"
    policy: LearnedPolicy
    critic: SessionValue

    def __init__(self, num_items: int, vector_size: int) -> None:
        super().__init__(num_items, vector_size)
        self.automatic_optimization = False
        self._ground: Playground | None = None
        self._measured: Measured = {}
        self._state: TensorDictBase | None = None
        self._shown = torch.zeros(num_items + 1, dtype=torch.bool)
        self._steps = {"train": 0, "validation": 0}

    @property
    def _settings(self) -> Any:
        return self.hparams

    def setup(self, stage: str) -> None:
        """Build the policy on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        only_one(self.trainer.world_size, self)
        if not hasattr(self, "policy"):
            plain = self._data.make_policy(self._settings.policy_settings or {})
            self._build(self._wrap(plain, self._data.slate_size))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note how the policy is built, so that the checkpoint suffices to load it."""
        checkpoint["policy"] = describe(self.policy)
        checkpoint["environment_steps"] = dict(self._steps)
        if self._ground is not None and self._ground.reward is not None:
            checkpoint["reward"] = measured_of(self._ground.reward)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the policy that the weights belong to."""
        if not hasattr(self, "policy"):
            self._build(LearnedPolicy.build(checkpoint["policy"]))
        self._measured = checkpoint.get("reward", {})
        self._steps |= checkpoint.get("environment_steps", {})

    def _wrap(self, policy: LearnedPolicy, slate_size: int) -> LearnedPolicy:
        """Give the policy that is learned, made of the one that the data module gives."""
        return policy

    def _build(self, policy: LearnedPolicy) -> None:
        self.policy = policy
        self.critic = SessionValue(policy.feature_size, self._settings.critic_hidden)

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

    def on_fit_start(self) -> None:
        """Draw what building simulators draws before the first epoch is seeded, resumed or not."""
        assert self.ground

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch; set the rate."""
        self._state = self.ground.train.reset()
        self._memory = UserMemory(self.policy)
        self._shown.zero_()
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        for group in optimizer.param_groups:
            rate = self._settings.learning_rate
            group["lr"] = rate * (1 - (1 - self._settings.final_rate) * self.progress)

    @property
    def progress(self) -> float:
        """How far training has come: 0 in the first epoch, 1 in the last."""
        last = max(1, (self.trainer.max_epochs or 1) - 1)
        return min(1.0, self.current_epoch / last)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Adam over all that is not frozen."""
        learned = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(learned, self._settings.learning_rate)

    def forget_vectors(self) -> None:
        """Read histories anew where the policy's way of reading them has moved."""
        if self.policy.tune:
            self._memory = UserMemory(self.policy)

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

    def _ended(self, terminated: Tensor, done: Tensor, length: Tensor) -> Tensor:
        """Tell after which steps nothing more was to come; all of one shape, any.

        :param terminated: whether the user left.
        :param done: whether the session was over.
        :param length: steps that it then had.
        """
        # Where leaving is a part of the discount, who left in the simulator was only cut.
        ended = terminated if self.ground.stay == 1 else torch.zeros_like(terminated)
        if not self._settings.time_aware:
            return ended
        last = length >= self.ground.train.max_steps
        return ended | (done & (~terminated | last))

    def _update(self, losses: Mapping[str, Tensor]) -> None:
        """Step on the sum of all that starts with ``loss``."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        total = torch.stack([v.sum() for n, v in losses.items() if n.startswith("loss")]).sum()
        optimizer.zero_grad()
        self.manual_backward(total)
        self.clip_gradients(optimizer.optimizer, self._settings.max_gradient, "norm")
        optimizer.step()

    def _log_play(self, rows: TensorDict) -> None:
        """Log what was just played: ``reward``, ``accepted``, ``done``, ``length``, ``slate``."""
        self._shown[rows["slate"].flatten()] = True
        self._steps["train"] += rows.numel()
        ended = rows["done"].sum().clamp_min(1)
        values = {
            "reward_per_step": rows["reward"].mean(),
            "acceptance": rows[Key.ACCEPTED].mean(),
            "length": (rows["length"] * rows["done"]).sum() / ended,
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
        """Save the policy, its encoder included, and judge it once more.

        :returns: beside the judging's metrics, how many steps of users were played in all, to
            train and to judge.
        """
        self.policy.save_pretrained(folder)
        # Lightning has moved the networks to the CPU, and the sessions are where they were.
        self.to(self.ground.judging.device)
        found = {f"validation/{name}": value for name, value in self.judge().items()}
        return found | {f"{name}/environment_steps": n for name, n in self._steps.items()}


class Means:
    """Means of what many updates say."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, values: Mapping[str, Tensor] | TensorDictBase, names: Iterable[str]) -> None:
        """Add one update's."""
        for name in names:
            value = values[name].detach().float().mean()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] += 1

    def all(self) -> dict[str, Tensor]:
        """Give the means."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def kept(keys: Sequence[str], state: TensorDictBase) -> TensorDict:
    """Take some keys of a state."""
    return TensorDict({key: state[key] for key in keys}, batch_size=state.batch_size)
