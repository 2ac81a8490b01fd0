"""The LightningModule that trains a policy on what was ever played: DQN, SAC, SlateQ, MPO."""

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

from lightrec.keys import PADDING, Key
from lightrec.learners.multi_step import shown_on_the_way, stretches
from lightrec.learners.playground import PolicySetting
from lightrec.learners.policy_losses import CLICKED_COLUMN, FEATURES, clicked_column
from lightrec.learners.policy_stage import Means, PolicyStage, kept
from lightrec.learners.replay_learner import ReplayLearner
from lightrec.learners.replay_learners import LEARNERS, ReplayLossName
from lightrec.nn.slate_law import items_at
from lightrec.policies.base import LearnedPolicy

SHOWN = "shown"
"""Key of the columns shown until the next state, (B, n · K) int64, -1 where there are fewer."""
STEPS_AHEAD = "steps_to_next_obs"
"""TorchRL's key of how many steps further the next state is, (B, 1) int64."""


class ReplayPolicyModule(PolicyStage):
    """Trains a policy with a loss on transitions drawn from a replay buffer.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions,
    put them into the buffer, and move ``updates`` times on ``batch_size`` transitions drawn from
    it. Sessions that were cut are bootstrapped, those that ended are not. Checkpoints hold the
    buffer, so that a resumed run goes on as an unbroken one would have.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss: ``dqn``, ``double-dqn``, ``sac``, ``slate-q`` or ``mpo``; see
        :mod:`lightrec.learners.replay_learners`.
    :param loss_settings: of the loss.
    :param policy_settings: of the policy that the data module makes.
    :param critic_hidden: widths of the critic's hidden layers.
    :param sessions: sessions played side by side.
    :param steps: steps of each in an iteration.
    :param n_step: steps that a transition goes over, up to ``steps``; more carry rewards back
        faster, and belong to the policy that played them.
    :param capacity: transitions that the buffer holds; each takes N + 1 bytes and its vectors.
    :param updates: optimizer steps in an iteration.
    :param batch_size: transitions of an optimizer step.
    :param warm_up: transitions that are played before the first update.
    :param exploration: probability with which a place of a slate is filled evenly at random, at
        first and in the end; for learners whose policies are no laws themselves.
    :param exploring: part of the epochs in which the first probability falls to the last.
    :param tau: share by which target networks move to the learned ones after an update.
    :param learning_rate: of Adam.
    :param final_rate: part of the learning rate that is left in the last epoch.
    :param discount: γ of the policy's own horizon, beside leaving.
    :param time_aware: whether the simulator's own cuts end the task, see
        :class:`~lightrec.learners.on_policy.PolicyModule`.
    :param reward_scale: what rewards are multiplied by, so that returns are of order 1 to 10.
    :param max_gradient: norm to which gradients are clipped.
    :param validation_seed: seed of the judging sessions.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss: ReplayLossName = "dqn",
        loss_settings: dict[str, float | bool | int | str] | None = None,
        policy_settings: dict[str, PolicySetting] | None = None,
        critic_hidden: tuple[int, ...] = (64,),
        sessions: int = 128,
        steps: int = 8,
        n_step: int = 1,
        capacity: int = 100_000,
        updates: int = 16,
        batch_size: int = 256,
        warm_up: int = 2048,
        exploration: tuple[float, float] = (1.0, 0.05),
        exploring: float = 0.3,
        tau: float = 0.01,
        learning_rate: float = 1e-3,
        final_rate: float = 1.0,
        discount: float = 0.95,
        time_aware: bool = False,
        reward_scale: float = 1.0,
        max_gradient: float = 10.0,
        validation_seed: int = 0,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        # In a tuple, which hides it: its networks are those that the module has already.
        self._learner: tuple[ReplayLearner, ...] = ()
        self._learned: dict[str, Tensor] = {}
        self._memory_state: dict[str, Any] | None = None
        self._buffer: TensorDictReplayBuffer | None = None

    def _wrap(self, policy: LearnedPolicy, slate_size: int) -> LearnedPolicy:
        return LEARNERS[self._settings.loss].wrap(policy, slate_size, self._settings)

    def _build(self, policy: LearnedPolicy) -> None:
        super()._build(policy)
        self.others = LEARNERS[self._settings.loss].networks(policy, self._settings)

    @property
    def learner(self) -> ReplayLearner:
        """The loss around the module's networks, made when first asked for."""
        if not self._learner:
            kind = LEARNERS[self._settings.loss]
            learner = kind(
                self.policy,
                self.critic,
                self.others,
                slate_size=self.ground.train.slate_size,
                discount=self._discount,
                tau=self._settings.tau,
                settings=self._settings.loss_settings or {},
            ).to(self.device)
            if self._learned:
                learner.load_state_dict(self._learned, strict=False)
            self._learner = (learner,)
        return self._learner[0]

    @property
    def buffer(self) -> TensorDictReplayBuffer:
        """What was played, as it was left by a checkpoint or empty."""
        if self._buffer is None:
            self._buffer = TensorDictReplayBuffer(
                storage=LazyTensorStorage(self._settings.capacity, device=self.device),
                batch_size=self._settings.batch_size,
            )
            if self._memory_state is not None:
                self._buffer.load_state_dict(self._memory_state)
                self._memory_state = None
        return self._buffer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the weights do not: the buffer, target networks and the loss's own numbers."""
        super().on_save_checkpoint(checkpoint)
        own = {tensor.data_ptr() for tensor in self.state_dict().values()}
        found = self._learner[0].state_dict() if self._learner else {}
        checkpoint["learner"] = {
            name: value
            for name, value in found.items()
            if isinstance(value, Tensor) and value.data_ptr() not in own
        }
        if self._buffer is not None and len(self._buffer):
            checkpoint["buffer"] = self._buffer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what was kept."""
        super().on_load_checkpoint(checkpoint)
        self._learned = checkpoint.get("learner", {})
        self._memory_state = checkpoint.get("buffer")
        for learner in self._learner:
            learner.load_state_dict(self._learned, strict=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Adam over the networks and the loss's own numbers."""
        found = {id(p): p for p in [*self.parameters(), *self.learner.parameters()]}
        learned = [p for p in found.values() if p.requires_grad]
        return torch.optim.Adam(learned, self._settings.learning_rate)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was ever played."""
        played = self._play()
        self._log_play(played)
        self.buffer.extend(self._transitions(played))
        if len(self.buffer) < self._settings.warm_up:
            return
        means = Means()
        for _ in range(self._settings.updates):
            outcome = self.learner.losses(self._whole(self.buffer.sample()))
            self._update({name: outcome[name] for name in outcome.keys()})  # noqa: SIM118
            self.learner.follow_up()
            means.add(outcome, outcome.keys())
        self._log_means(means.all())

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions with what is logged."""
        ground, rows = self.ground, []
        keys = (*self.policy.reads, *((self.offered,) if self.offered == Key.CANDIDATES else ()))
        first, last = self._settings.exploration
        epochs = self._settings.exploring * (self.trainer.max_epochs or 1)
        part = 1.0 if epochs <= 0 else min(1.0, self.current_epoch / epochs)
        epsilon = first + (last - first) * part
        self.forget_vectors()
        assert self._state is not None
        for _ in range(self._settings.steps):
            state = self.see(self._state)
            columns, log_probability = self.learner.act(state, epsilon)
            row = kept([*self.policy.reads, self.offered], state)
            row[Key.ACTION], row[Key.LOG_PROBABILITY] = columns, log_probability
            row["slate"] = state[Key.ACTION] = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = ground.train.step_and_maybe_reset(state)
            following = played["next"]
            row[CLICKED_COLUMN] = clicked_column(columns, following[Key.TAKEN])
            # Histories move on a step; where a session was reset, its last state is read anew.
            self.see_apart(following)
            row["next"] = kept([*keys, "done", "terminated"], following)
            row["length"] = following[Key.STEP]
            for name in ("reward", "done", Key.ACCEPTED):
                row[name] = following[name]
            rows.append(row)
        return TensorDict.stack(rows, 1)

    def _transitions(self, played: TensorDictBase) -> TensorDictBase:
        """Make of what was played what learners ask for: ``(B · T,)`` transitions over n steps."""
        settings, length = self._settings, self._settings.n_step
        reward = settings.reward_scale * played["reward"]
        stretch = stretches(reward, played["done"], length, self._discount)
        rows = kept(
            [*self.policy.reads, self.offered, Key.ACTION, Key.LOG_PROBABILITY, CLICKED_COLUMN],
            played,
        )
        rows[SHOWN] = shown_on_the_way(played[Key.ACTION], stretch, length)

        def at_last(values: Tensor) -> Tensor:
            index = stretch.last.view(*stretch.last.shape, *[1] * (values.ndim - 2))
            return values.gather(1, index.expand_as(values))

        rows["next"] = played["next"].apply(at_last)
        rows["next", "reward"] = stretch.reward
        rows[STEPS_AHEAD] = stretch.steps
        rows["next", "terminated"] = self._ended(
            rows["next", "terminated"], rows["next", "done"], at_last(played["length"])
        )
        return rows.flatten()

    @property
    def _discount(self) -> float:
        return float(self._settings.discount * self.ground.stay)

    @torch.no_grad()
    def _whole(self, batch: TensorDictBase) -> TensorDictBase:
        """Add to drawn transitions what follows from the rest: features, and the next masks."""
        following = batch["next"]
        if self.offered == Key.MASK:
            mask = batch[Key.MASK]
            if not self.ground.train.repeats:
                shown = batch[SHOWN].clamp_min(PADDING)
                mask = mask.scatter(1, shown, torch.zeros_like(shown, dtype=torch.bool))
            following[Key.MASK] = mask
        for state in (batch, following):
            state[FEATURES] = self.policy.session_features(state)
        return batch
