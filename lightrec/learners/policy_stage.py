"""The base of modules that train policies: networks, checkpoints, optimizer steps, judging.

What they learn from is theirs: :mod:`lightrec.learners.playing` plays, and
:mod:`lightrec.learners.offline` has a log.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.blame import provider
from lightrec.data.share import present_share, summed
from lightrec.errors import PluginError, RecipeError
from lightrec.keys import Key
from lightrec.learners.algorithms import Learner, learner_named
from lightrec.learners.simulator_data import Playground, SimulatorData
from lightrec.learners.transitions import (
    CLICKED_COLUMN,
    FEATURES,
    PACKED,
    SLATE,
    STEPS_AHEAD,
    clicked_column,
    pack,
    stretches,
    unpack,
)
from lightrec.nn.precision import full_precision
from lightrec.nn.session import perceptron
from lightrec.nn.slate_law import columns_at
from lightrec.nn.stage import StageModule
from lightrec.policies.base import LearnedPolicy, TwoTowerPolicy
from lightrec.simulators.rollout import play
from lightrec.trust import built


class PolicyStage(StageModule):
    """Trains a policy and a critic, with manual optimization.

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
    """

    monitor: ClassVar[str] = "validation/return"
    mode: ClassVar[Literal["min", "max"]] = "max"
    slot: ClassVar[str]
    """Of plugins, whose learners can be named as ``loss``."""
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
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters(ignore=["reward"])  # a part of its own where there is one
        self.automatic_optimization = False
        self._learned: dict[str, Tensor] = {}
        self._measured: dict[str, Tensor] = {}
        self._steps = {"train": 0, "validation": 0}

    def setup(self, stage: str) -> None:
        """Build the policy on the data's vectors, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        if self.trainer.world_size > 1 and (why := self.alone):
            raise RecipeError(
                f"{why}, and the recipe asks for {self.trainer.world_size} processes. Set "
                "trainer.devices to 1."
            )
        data, hidden = self.data, self.settings.critic_hidden
        if not hasattr(self, "policy"):
            self._build(self._kind.wrap(data.make_policy(), data.slate_size, hidden))

    @property
    def alone(self) -> str | None:
        """Why one process alone may train it; None where several may."""
        world = self.trainer.world_size
        sessions = self.settings.get("sessions", world)
        return f"{sessions} sessions cannot be shared out evenly" if sessions % world else None

    @property
    def _kind(self) -> type[Learner]:
        return learner_named(self.slot, self.settings.loss)

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
        if self.ground.reward is not None:
            checkpoint["reward"] = self.ground.reward.measured().state_dict()
        weights = {tensor.data_ptr() for tensor in self.state_dict().values()}
        checkpoint["learner"] = {
            name: value
            for name, value in self.learner.state_dict().items()
            if isinstance(value, Tensor) and value.data_ptr() not in weights
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the parts that the weights belong to, and take back the rest."""
        if not hasattr(self, "policy"):
            self._build(built(checkpoint["policy"], LearnedPolicy))
        self._measured = checkpoint.get("reward", {})
        self._steps |= checkpoint.get("environment_steps", {})
        self._learned = checkpoint.get("learner", {})

    @property
    def data(self) -> SimulatorData:
        """The data, such as PolicyData, or WorldData of the package lightrec-worlds."""
        return self.data_of(SimulatorData)

    @cached_property
    def ground(self) -> Playground:
        """The simulators, made when first asked for, on the module's device.

        :raises RecipeError: where a potential would be paid out at the step limit.
        """
        settings = self.settings
        share, sessions = present_share(), settings.get("sessions", 1)  # learning from a log: none
        ground = self.data.playground(
            max(1, sessions // share.world), settings.discount, self.device
        )
        ground.train.share = share
        if ground.reward is not None and self._measured:
            ground.reward.measured().load_state_dict(self._measured)
        parts = [] if ground.reward is None else ground.reward.nested()
        if settings.time_aware and any(part.shaped for part in parts):
            raise RecipeError(
                "With time_aware the step limit ends the task, and a shaped reward pays for the "
                "potential of the state in which it does: another policy would be best than "
                "without the shaping. Set time_aware to false, or take the reward by itself."
            )
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

    def on_train_epoch_start(self) -> None:
        """Set the learning rate."""
        for group in self._optimizer(0).param_groups:
            rate = self.settings.learning_rate
            group["lr"] = rate * (1 - (1 - self.settings.final_rate) * self.progress)

    @property
    def progress(self) -> float:
        """How far training has come: 0 in the first epoch, 1 in the last."""
        last = max(1, (self.trainer.max_epochs or 1) - 1)
        return min(1.0, self.current_epoch / last)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam over the policy's networks and the loss's numbers."""
        networks = self.policy, self.critic, self.others, self.learner
        parameters = {id(p): p for network in networks for p in network.parameters()}
        learned = [p for p in parameters.values() if p.requires_grad]
        return [torch.optim.Adam(learned, self.settings.learning_rate)]

    def _optimizer(self, which: int) -> LightningOptimizer:
        optimizers = self.optimizers()
        optimizer = optimizers[which] if isinstance(optimizers, list) else optimizers
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
        more = [key for key in (Key.CANDIDATES, Key.ABSORBING, PACKED) if key in state]
        read = state.select(*self.policy.reads, FEATURES, *more)
        return read.set(PACKED, pack(state[Key.MASK])) if Key.MASK in state else read

    @torch.no_grad()
    def seen(self, rows: TensorDictBase) -> TensorDictBase:
        """Transitions (R,) that somebody else played as the policy sees them, with columns."""
        slate, following = rows[Key.ACTION], rows["next"]
        made = self._read(self.see(rows))
        made["next"] = self._read(self.see(following))
        made[SLATE], made[Key.ACTION] = slate, columns_at(slate, rows.get(Key.CANDIDATES, None))
        taken = following.get(Key.TAKEN, torch.zeros_like(slate, dtype=torch.bool))
        made[CLICKED_COLUMN] = clicked_column(made[Key.ACTION], taken)
        return made

    def _transitions(self, played: TensorDictBase) -> TensorDictBase:
        """Make of what was played what learners ask for: ``(B · T,)`` transitions over n steps."""
        following, length = played["next"], self.settings.n_step
        reward = self.settings.reward_scale * following["reward"]
        total, steps, end = stretches(reward, following["done"], length, self._discount)

        def at_last(values: Tensor) -> Tensor:
            index = end.view(*end.shape, *[1] * (values.ndim - 2))
            return values.gather(1, index.expand_as(values))

        rows, last = played.exclude(FEATURES), following.exclude(FEATURES, Key.ACCEPTED)
        rows["next"] = last = last.apply(at_last)
        last["terminated"], last["reward"] = self._ended(last), total
        rows[STEPS_AHEAD] = steps
        return rows.flatten()

    def with_masks(self, rows: TensorDictBase) -> TensorDictBase:
        """Unpack the masks of rows (R,), and of what follows them, after they were played."""
        for state in (rows, rows.get("next", None)):
            if state is not None and PACKED in state:
                state[Key.MASK] = unpack(state.pop(PACKED), self.num_items + 1)
        return rows

    def _whole(self, rows: TensorDictBase) -> TensorDictBase:
        """Add to drawn transitions what follows from the rest: masks and features."""
        self.with_masks(rows)
        for state in (rows, rows["next"]):
            state[FEATURES] = self.policy.session_features(state)
        return rows

    def item_vectors(self) -> Tensor | None:
        """The rows of the policy's item table, (N + 1, D); None where it has none."""
        return self.policy.item_table() if isinstance(self.policy, TwoTowerPolicy) else None

    def scores_of(self, histories: Tensor) -> Tensor:
        """The policy's scores of all items at the start of sessions."""
        return self.policy.scores(histories)

    def _ended(self, following: TensorDictBase) -> Tensor:
        """Whether nothing more was to come after a step.

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

    def update(
        self, losses: Mapping[str, Tensor], which: int = 0, part: float = 1.0
    ) -> dict[str, Tensor]:
        """Step on the sum of all that starts with ``loss``, and give what is to be logged.

        :param which: of the optimizers; 0 is the policy's.
        :param part: rows that the losses are means over, as a share of the mean process's.
        """
        optimizer = self._optimizer(which)
        stepped = [value.sum() for name, value in losses.items() if name.startswith("loss")]
        if not stepped:
            given = ", ".join(losses) or "nothing"
            raise PluginError(
                f"`losses` of {provider(self.learner)} gave {given}; expected is one whose "
                "name starts with loss, on which training steps."
            )
        total = torch.stack(stepped).sum() * part
        optimizer.zero_grad()
        self.manual_backward(total)
        if (world := present_share().world) > 1:  # the strategy averages what the module holds
            held = {id(parameter) for parameter in self.parameters()}
            for parameter in self.learner.parameters():
                if id(parameter) not in held and parameter.grad is not None:
                    parameter.grad = summed(parameter.grad) / world
        self.clip_gradients(optimizer.optimizer, self.settings.max_gradient, "norm")
        optimizer.step()
        return {name: value.detach().float().mean() * part for name, value in losses.items()}

    def log_means(self, *outcomes: Mapping[str, Tensor]) -> None:
        """Log the means over what one or several updates gave."""
        for name in outcomes[0] if outcomes else ():
            mean = torch.stack([each[name].float() for each in outcomes]).mean()
            self.log(
                f"train/{name}", mean, on_step=False, on_epoch=True, batch_size=1, sync_dist=True
            )

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge the policy on the judging users, always under the same chance."""
        self.log_dict(self.judge(), batch_size=1, sync_dist=True)

    def judge(self) -> dict[str, float]:
        """Play the judging sessions, showing the items of highest score; give their metrics."""
        ground, seed = self.ground, self.settings.validation_seed
        # Nothing here may move the generator that training draws from.
        with torch.random.fork_rng(), full_precision(self.device):
            parts = [] if ground.reward is None else ground.reward.nested()
            watchers = [watcher for part in parts if (watcher := part.watcher())]

            def record(*step: Any) -> None:
                for watcher in watchers:
                    watcher(*step)

            sessions, _ = play(self.policy, ground.judging, ground.users, seed, record=record)
        self._steps["validation"] += int(sessions.length.sum())
        metrics = sessions.metrics()
        for watcher in watchers:
            metrics = watcher.judged(metrics)
        return {f"validation/{name}": value for name, value in metrics.items()}

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, its encoder included; judge again, and rivals by the same reward.

        :returns: next to the judging's metrics, how many steps of users were played in all, to
            train and to judge; and ``reward/…``, what a session of each is worth by it.
        """
        self.policy.save_pretrained(folder)
        # Lightning has moved the networks to the CPU, and the sessions are where they were.
        self.to(self.ground.judging.device)
        metrics, ground, seed = self.judge(), self.ground, self.settings.validation_seed
        for name, rival in {"policy": self.policy, **self.data.rivals()}.items():
            with torch.random.fork_rng(), full_precision(self.device):
                played, _ = play(rival.to(self.device), ground.judging, ground.users, seed)
            metrics[f"reward/{name}"] = float(played.reward.mean())
        return metrics | {f"{name}/environment_steps": n for name, n in self._steps.items()}
