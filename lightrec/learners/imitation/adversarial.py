"""The adversarial learner: a discriminator, and a policy that is trained on what it says."""

import copy
from collections.abc import Iterator, Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from torch import Tensor
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value.functional import generalized_advantage_estimate

from lightrec.keys import Key
from lightrec.learners.imitation.adversarial_losses import (
    RewardForm,
    RunningScale,
    discriminator_loss,
    reward_from_logit,
)
from lightrec.learners.imitation.discriminators import Discriminator
from lightrec.learners.imitation.features import Features
from lightrec.learners.imitation.learners import Actor, Critic, ImitationLearner, Losses, draw
from lightrec.nn.plackett_luce import PlackettLuce


class AdversarialLearner(ImitationLearner):
    """A discriminator, and a policy trained by proximal policy optimization on what it says.

    The reward to be judged is that of ``judged``, the discriminator with its weights averaged over
    the iterations: the one in training goes round its goal, as the policy does. What the policy is
    trained on, shaped and scaled, is another matter and kept nowhere.

    :param features: what is seen of states and choices.
    :param discriminator: GAIL's or AIRL's; its own networks and features.
    :param reward_form: how its logit becomes the policy's reward.
    :param penalty: weight of the discriminator's gradient penalty; 0 for none.
    :param discriminator_batch: transitions of either side in a discriminator's step.
    :param discriminator_updates: its steps in an iteration.
    :param hidden: widths of the policy's and the critic's hidden layers.
    :param discount: γ.
    :param gae_lambda: λ of generalized advantage estimation.
    :param passes: passes over an iteration's steps.
    :param batch_size: rows of a policy's step.
    :param clip: ε of the clipped objective.
    :param entropy: weight of the entropy bonus.
    :param cloning: steps, before all else, in which the policy is fitted to the demonstrations by
        likelihood. From there the discriminator has less to find.
    :param warm_up: first iterations in which only the discriminator moves.
    :param average: share by which ``judged`` moves to the discriminator in an iteration.
    """

    iterations: Tensor

    def __init__(
        self,
        features: Features,
        discriminator: Discriminator,
        *,
        reward_form: RewardForm = "logit",
        penalty: float = 1.0,
        discriminator_batch: int = 1024,
        discriminator_updates: int = 8,
        hidden: Sequence[int] = (64, 64),
        discount: float = 0.95,
        gae_lambda: float = 0.95,
        passes: int = 5,
        batch_size: int = 512,
        clip: float = 0.2,
        entropy: float = 0.0,
        cloning: int = 0,
        warm_up: int = 0,
        average: float = 0.05,
    ) -> None:
        super().__init__(features)
        self.discriminator = discriminator
        self.judged = copy.deepcopy(discriminator).requires_grad_(False)
        self.average = average
        self.actor = Actor(copy.deepcopy(features), hidden)
        self.critic = Critic(copy.deepcopy(features), hidden)
        self.scale = RunningScale()
        self.reward_form: RewardForm = reward_form
        self.penalty = penalty
        self.discriminator_batch = discriminator_batch
        self.discriminator_updates = discriminator_updates
        self.discount, self.gae_lambda = discount, gae_lambda
        self.passes, self.batch_size = passes, batch_size
        self.clip, self.entropy = clip, entropy
        self.cloning, self.warm_up = cloning, warm_up
        self.register_buffer("iterations", torch.tensor(0))

    def _policy_loss(self) -> ClipPPOLoss:
        """Make the loss, which no module may hold: its networks are those held here already."""
        law = ProbabilisticTensorDictModule(
            in_keys=["logits"],
            out_keys=[Key.ACTION],
            distribution_class=PlackettLuce,
            return_log_prob=True,
        )
        loss = ClipPPOLoss(
            ProbabilisticTensorDictSequential(self.actor, law),
            self.critic,
            functional=False,
            clip_epsilon=self.clip,
            entropy_bonus=self.entropy > 0,
            entropy_coeff=self.entropy,
            critic_coeff=1.0,
        )
        loss.set_keys(action=Key.ACTION, sample_log_prob=Key.LOG_PROBABILITY)
        return loss.to(next(self.parameters()).device)

    def logits(self, state: TensorDictBase) -> Tensor:
        """Give the actor's logits."""
        return self.actor.logits(state)

    def updates(self, rollout: TensorDict, demonstrations: TensorDict) -> Iterator[Losses]:
        """Move the discriminator first, then the policy on its rewards."""
        if self.iterations == 0 and self.cloning:
            yield from self._clone(demonstrations)
            self.iterations += 1
            return  # what was played is no longer this policy's
        own = rollout.flatten()
        size = min(self.discriminator_batch, len(own))
        for _ in range(self.discriminator_updates):
            expert = self._with_log_probability(draw(demonstrations, size))
            policy = draw(own, size)
            yield discriminator_loss(self.discriminator, expert, policy, self.penalty)
        self.iterations += 1
        waiting = int(self.iterations) <= self.warm_up + bool(self.cloning)
        self._average(1.0 if waiting else self.average)
        if waiting:
            return
        rows, loss = self._estimate(rollout), self._policy_loss()
        for _ in range(self.passes):
            for chosen in torch.randperm(len(rows), device=rows.device).split(self.batch_size):
                outcome = loss(rows[chosen])
                yield {name: outcome[name] for name in outcome.keys()}  # noqa: SIM118

    @torch.no_grad()
    def _average(self, share: float) -> None:
        pairs = zip(self.judged.parameters(), self.discriminator.parameters(), strict=True)
        for slow, quick in pairs:
            slow.lerp_(quick, share)

    def _clone(self, demonstrations: TensorDict) -> Iterator[Losses]:
        for _ in range(self.cloning):
            batch = draw(demonstrations, self.batch_size)
            law = PlackettLuce(self.logits(batch))
            yield {"loss_cloning": -law.log_prob(batch[Key.ACTION]).mean()}

    @torch.no_grad()
    def _with_log_probability(self, batch: TensorDict) -> TensorDict:
        law = PlackettLuce(self.logits(batch))
        return batch.set(Key.LOG_PROBABILITY, law.log_prob(batch[Key.ACTION]))

    @torch.no_grad()
    def _estimate(self, rollout: TensorDict) -> TensorDict:
        """Give (B · T,) rows with advantages and value targets of the discriminator's rewards."""
        reward = reward_from_logit(self.discriminator.logit(rollout), self.reward_form)
        value = self.critic(rollout.select(*self.keys))["state_value"]
        after = self.critic(rollout["next"].select(*self.keys))["state_value"]
        advantage, target = generalized_advantage_estimate(
            self.discount,
            self.gae_lambda,
            value,
            after,
            self.scale(reward).unsqueeze(-1),
            rollout["next", "done"],
            rollout["next", "terminated"],
        )
        rows = rollout.select(*self.keys, Key.ACTION, Key.LOG_PROBABILITY)
        rows["advantage"] = (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)
        rows["value_target"] = target
        return rows.flatten()
