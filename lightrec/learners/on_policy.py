"""The LightningModule that trains a policy on what it has just played: PPO, REINFORCE, SARSA."""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from tensordict import TensorDict
from torchrl.objectives.value.functional import generalized_advantage_estimate

from lightrec.data.share import of_all
from lightrec.errors import RecipeError
from lightrec.learners.algorithms import learners_of
from lightrec.learners.playing import PlayingStage
from lightrec.learners.transitions import FEATURES, slates_alone
from lightrec.policies.slate import SlatePolicy

if TYPE_CHECKING:
    LossName = str
else:  # which the parser of recipes checks before a run
    LossName = learners_of("learners")


class PolicyModule(PlayingStage):
    """Trains a policy with a loss on what the present policy has just played.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions,
    estimate advantages, and go ``passes`` times over them.

    Where a simulator knows how likely leaving was
    (:attr:`~lightrec.learners.simulator_data.Playground.continuation_probability`), advantages are
    computed from that expectation: instead of ending, a session's future counts so much. That has
    the expectation of what happened, without its noise. Everywhere else sessions that were cut are
    bootstrapped, and those that ended are not; ``time_aware`` says which of the two a
    simulator's own cuts are.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss: ``ppo`` or ``slate-sarsa``, see :mod:`lightrec.learners.algorithms`; or a
        plugin's, or the import path of a :class:`~lightrec.learners.algorithms.Learner`.
    :param sessions: sessions played side by side.
    :param steps: steps of each in an iteration.
    :param passes: passes over an iteration's steps.
    :param batch_size: rows of an optimizer step.
    :param learning_rate: of Adam.
    :param discount: γ of the policy's own horizon, beside leaving.
    :param gae_lambda: λ of generalized advantage estimation.
    :param temperature: of the slates that ``slate-sarsa`` shows while it learns, in the first epoch
        and the last: what values, in units of scaled rewards, are divided by to be logits.
    :param max_gradient: norm to which gradients are clipped.
    :param settings: of :class:`~lightrec.learners.playing.PlayingStage`.
    :raises RecipeError: where settings exclude each other.
    """

    slot: ClassVar[str] = "learners"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss: LossName = "ppo",
        sessions: int = 512,
        steps: int = 20,
        passes: int = 2,
        batch_size: int = 2048,
        learning_rate: float = 1e-2,
        discount: float = 1.0,
        gae_lambda: float = 0.8,
        temperature: tuple[float, float] = (0.1, 0.02),
        max_gradient: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, vector_size, **settings)
        (reward,) = self._template
        if min(temperature) <= 0:
            raise RecipeError(
                f"temperature is {tuple(temperature)}; values are divided by it, so that both "
                "numbers must be positive."
            )
        if reward is not None and reward.needs_replay:
            raise RecipeError(
                f"{type(reward).__name__} needs a learner that learns from demonstrations as from "
                "its own steps, and a PolicyModule learns from what it has just played. Take "
                "ReplayPolicyModule."
            )

    def on_train_epoch_start(self) -> None:
        """Begin again, with the epoch's temperature."""
        super().on_train_epoch_start()
        if isinstance(self.policy, SlatePolicy):
            first, last = self.settings.temperature
            self.policy.temperature.fill_(first * (last / first) ** self.progress)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was played."""
        played = self._play()
        self._log_play(played)
        if not self._teach(played, batch_index):
            return
        rows = self._estimate(played).exclude("next").flatten()
        if self.learner.learns_slates_alone:
            rows = slates_alone(rows)
        outcomes, share = [], self.ground.train.share
        for _ in range(self.settings.passes):
            order = torch.randperm(len(rows) * share.world, device=self.device)
            for chosen in order.split(self.settings.batch_size):
                own = share.own(chosen, self.settings.steps)
                part = len(own) * share.world / len(chosen)
                # A process without any of these rows takes part with one that counts for nothing.
                batch = rows[own if len(own) else own.new_zeros(1)]
                losses = self.learner.losses(self.with_masks(batch))
                outcomes.append(self.update(losses, part=part))
        self.log_means(*outcomes)

    @torch.no_grad()
    def _estimate(self, played: TensorDict) -> TensorDict:
        """Add advantages and value targets to transitions (B, T)."""
        following = played["next"]
        advantage, target = generalized_advantage_estimate(
            self._discount,
            self.settings.gae_lambda,
            self.critic(played[FEATURES]),
            self.critic(following[FEATURES]),
            self.settings.reward_scale * following["reward"],
            following["done"],
            self._ended(following),
        )
        every = of_all(advantage)
        played["advantage"] = (advantage - every.mean()) / every.std().clamp_min(1e-6)
        played["value_target"] = target
        return played
