"""Learning from what was ever played: the LightningModule, and soft Q-learning."""

import logging
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

from lightrec.api import FEATURES, Key, LearnedPolicy, RecipeError
from lightrec.learners.algorithms import Learner, learners_of
from lightrec.learners.losses import Distance, ValueLoss, positive
from lightrec.learners.playing import PlayingStage
from lightrec.learners.transitions import STEPS_AHEAD, drawn
from lightrec.nn.plackett_luce import at, may_be_shown
from lightrec_lab.imitation import DEMONSTRATED, ImitationReward

if TYPE_CHECKING:
    LossName = str
else:  # which the parser of recipes checks before a run
    LossName = learners_of("replay_learners")


class SoftQLoss(ValueLoss):
    """Learns soft values of single items, of which the policy's law is the best.

    ``loss`` is the distance of Q(s, a) from r + γⁿ (1 - terminated) V(s′), V being that of lagging
    networks. Q(s, j) is the critic's value of the state plus τ times the policy's logit of column
    j, and V(s) = τ log Σ exp(Q(s, j) / τ), so that the law is exp((Q - V) / τ). A state in which
    nothing may be shown is worth what the critic says.

    :param policy: whose logits, times the temperature, are advantages.
    :param critic: from features to the value of a state.
    :param temperature: τ.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    :raises ValueError: where the temperature is not positive.
    """

    def __init__(
        self,
        policy: LearnedPolicy,
        critic: nn.Module,
        *,
        temperature: float = 0.1,
        discount: float = 0.99,
        loss_function: Distance = "smooth_l1",
    ) -> None:
        super().__init__(discount, loss_function)
        positive(temperature=temperature)
        self.networks, self.temperature = nn.ModuleList([policy, critic]), temperature
        self.targets = self._lagging(self.networks)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The loss."""
        values, _ = self.values(self.networks, batch)
        with torch.no_grad():
            _, following = self.values(self.targets, batch["next"])
        target = self._target(batch, following)
        return {"loss": self._distance(at(values, batch[Key.ACTION]).squeeze(-1), target)}

    def values(self, networks: Iterable[Any], state: TensorDictBase) -> tuple[Tensor, Tensor]:
        """Q ``(B, C)`` of a state's columns, and V ``(B,)``.

        :param networks: policy and critic.
        """
        policy, critic = networks
        level, logits = critic(state[FEATURES]), policy.columns(state).logits
        some = may_be_shown(logits).any(-1, keepdim=True)
        advantages = torch.where(some, logits, 0.0)
        soft = torch.where(some, logits.logsumexp(-1, keepdim=True), 0.0)
        return level + self.temperature * advantages, (level + self.temperature * soft).squeeze(-1)


class SoftQ(Learner):
    """Soft Q-learning (Haarnoja et al. 2017): the policy's law is ∝ exp(Q / ``temperature``)."""

    values_single_items = True

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build the loss."""
        return SoftQLoss(self.policy, self.critic, discount=self.discount, **settings)


class ReplayPolicyModule(PlayingStage):
    """Trains a policy with a loss on transitions drawn from a replay buffer.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions,
    put them into the buffer, and move ``updates`` times on ``batch_size`` transitions drawn from
    it. Sessions that were cut are bootstrapped, those that ended are not. Checkpoints hold the
    buffer, so that a resumed run continues as an unbroken one would have. Of several processes each
    plays its own sessions and keeps what all have played; of what is drawn it takes its share.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss: ``soft-q``, see :class:`SoftQ`; or a plugin's, by the hook
        ``lightrec_replay_learners``, or the import path of a
        :class:`~lightrec.learners.algorithms.Learner`.
    :param sessions: sessions played side by side.
    :param steps: steps of each in an iteration.
    :param n_step: steps that a transition goes over, up to ``steps``; more carry rewards back
        faster, and belong to the policy that played them.
    :param capacity: transitions that the buffer holds; each takes N / 4 bytes and its vectors.
    :param updates: optimizer steps in an iteration.
    :param batch_size: transitions of an optimizer step.
    :param warm_up: transitions that are played before the first update.
    :param tau: share by which target networks move to the learned ones after an update.
    :param learning_rate: of Adam.
    :param discount: γ of the policy's own horizon, beside leaving.
    :param max_gradient: norm to which gradients are clipped.
    :param settings: of :class:`~lightrec.learners.playing.PlayingStage`. A ``reward`` that
        learns rewards what is drawn, so that old transitions have its present opinion.
    :raises RecipeError: where settings exclude each other.
    """

    slot: ClassVar[str] = "replay_learners"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss: LossName = "soft-q",
        sessions: int = 128,
        steps: int = 8,
        n_step: int = 1,
        capacity: int = 100_000,
        updates: int = 16,
        batch_size: int = 256,
        warm_up: int = 2048,
        tau: float = 0.01,
        learning_rate: float = 1e-3,
        discount: float = 0.95,
        max_gradient: float = 10.0,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, vector_size, **settings)
        (reward,) = self._template
        if reward is not None and n_step > 1:
            raise RecipeError(
                f"n_step is {n_step}, and {type(reward).__name__} rewards single steps as they are "
                "drawn from the buffer. Set it to 1."
            )
        self._memory_state: dict[str, Any] | None = None

    @cached_property
    def buffer(self) -> TensorDictReplayBuffer:
        """The steps that were played, as they were left by a checkpoint or empty."""
        # TorchRL would write "Initialized LazyTensorStorage" into the progress bar.
        logging.getLogger("torchrl").setLevel(logging.WARNING)
        storage = LazyTensorStorage(self.settings.capacity, device=self.device)
        buffer = TensorDictReplayBuffer(storage=storage, batch_size=self.settings.batch_size)
        if self._memory_state is not None:
            buffer.load_state_dict(self._memory_state)
            self._memory_state = None
        return buffer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the buffer, beside what every policy's module keeps."""
        super().on_save_checkpoint(checkpoint)
        if len(self.buffer):
            checkpoint["buffer"] = self.buffer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what was kept."""
        super().on_load_checkpoint(checkpoint)
        self._memory_state = checkpoint.get("buffer")

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was ever played."""
        played = self._play()
        self._log_play(played)
        learns = self._teach(played, batch_index)
        self.buffer.extend(self._of_all(self._transitions(played)))
        if len(self.buffer) < self.settings.warm_up or not learns:
            return
        outcomes, share, size = [], self.ground.train.share, self.settings.batch_size
        part = len(range(size)[share.rows]) * share.world / size
        for _ in range(self.settings.updates):
            outcomes.append(self.update(self.learner.losses(self._drawn()), part=part))
            self.learner.follow_up()
        self.log_means(*outcomes)

    def _of_all(self, rows: TensorDictBase) -> TensorDictBase:
        """Transitions (B · T,) of all processes, as they would follow each other in one."""
        world, steps = self.ground.train.share.world, self.settings.steps

        def gathered(part: Tensor) -> Tensor:
            every = self.all_gather(part)
            assert isinstance(every, Tensor)
            each = every.reshape(world, len(rows) // steps, steps, *part.shape[1:])
            return each.transpose(0, 1).flatten(0, 2)

        return rows.apply(gathered, batch_size=[world * len(rows)])

    @torch.no_grad()
    def _drawn(self) -> TensorDictBase:
        """Draw this process's transitions, and say what a reward that learns makes of them now."""
        share, reward = self.ground.train.share, self.reward
        share.check(self.settings.batch_size, "transitions in a batch")
        rows = self._whole(self.buffer.sample()[share.rows])
        if not isinstance(reward, ImitationReward):
            return rows
        rows[DEMONSTRATED] = torch.zeros_like(rows["next", "reward"])
        if reward.needs_replay:
            shown = self._whole(drawn(reward.demonstrations, len(rows)))
            shown[STEPS_AHEAD] = torch.ones_like(shown["next", "done"], dtype=torch.int64)
            shown[DEMONSTRATED] = torch.ones_like(shown[STEPS_AHEAD], dtype=torch.float32)
            keys = [key for key in shown.keys(True, True) if key in rows.keys(True, True)]
            rows = TensorDict.cat([rows.select(*keys), shown.select(*keys)])
        paid: Tensor = reward(reward.seen(self, rows))
        rows["next", "reward"] = self.settings.reward_scale * paid
        return rows
