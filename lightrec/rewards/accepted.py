"""Rewards of what is accepted: that it is, what it is worth, and what its user wanted."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext


class EngagementReward(Reward):
    """How many items were accepted: of slates from which one is taken at most, 1 or 0.

    It counts whatever people do, also what they regret: maximised, it pays for bait.
    """

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): 1 for each accepted item, 0 for none."""
        return self.taken(transition).float().sum(1, keepdim=True)


class LearnedReward(Reward):
    """What a person wants, by a choice model that knows how far they look ahead.

    Nats relative to nothing, which is worth 0. It is as good as the assumptions in the model:
    the discount, the leave rate and, in logs without impressions, how often nothing is chosen.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.users = context.users

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): r(s, i) of each accepted item, 0 for nothing."""
        # Padding has no utility: any item stands in for it and is masked afterwards.
        items, user = transition[Key.ACTION].clamp_min(1), transition.get(Key.USER, None)
        reward = self.users.reward(transition[Key.HISTORY], items, user)
        return torch.where(self.taken(transition), reward, 0.0).sum(1, keepdim=True)


class SurplusReward(Reward):
    """r(s, i) - log π(i) of an item accepted, -log π(nothing) where nothing was.

    This is the step reward whose discounted sum a soft-optimal user maximises (Ziebart et al.
    2008): the learned reward, and the expected charm of the moment that made the user choose as he
    did. For a myopic user it is log(1 + Σ exp r) whatever he chooses, the consumer surplus of the
    slate (Small and Rosen 1981): never negative, and growing with every item's reward.

    The learned reward alone misleads a policy wherever most offers are declined. An item accepted
    with probability below one half has a negative reward there, so that declining is worth more,
    and the policy learns to show what nobody takes.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.users = context.users

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), in nats."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        taken = self.taken(transition)
        log_p = self.users.choice.log_probabilities(history, slate)
        # Slots in slate order, nothing last.
        chosen = torch.cat([taken, ~taken.any(1, keepdim=True)], 1)
        surprise = torch.where(chosen, -log_p, 0).sum(1, keepdim=True)
        reward = self.users.reward(history, slate.clamp_min(1), transition.get(Key.USER, None))
        return torch.where(taken, reward, 0).sum(1, keepdim=True) + surprise


class _Valued(Reward):
    """A reward of how much what was accepted is worth, in a log whose values differ."""

    def bind(self, context: RewardContext) -> None:
        """Take the user model, which must know values."""
        self.users = context.users_with("valuing")

    def law(self, transition: TensorDictBase) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, K) of the values of the slate's items, if taken."""
        items, user = transition[Key.ACTION].clamp_min(1), transition.get(Key.USER, None)
        return self.users.value(transition[Key.HISTORY], items, user)


class ValueReward(_Valued):
    """The mean value of what was accepted, in the log's own units; 0 for nothing.

    :param least: what is taken off every accepted item's value, such as the rating from which on
        one is worth having.
    """

    def __init__(self, least: float = 0.0) -> None:
        super().__init__()
        self.least = least

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        mean, _ = self.law(transition)
        worth = torch.where(self.taken(transition), mean - self.least, 0.0)
        return worth.sum(1, keepdim=True)


class ConversionReward(_Valued):
    """The probability that an item accepted is worth at least so much; 0 for nothing.

    With the value from which on a choice counts, it is a rate of conversion: of purchases, of four
    stars or more, of films watched for half an hour. Values are taken to be normal about the mean
    that :class:`ValueReward` gives.

    :param threshold: in the log's own units.
    """

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.threshold = threshold

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from 0 to 1 for each item."""
        mean, deviation = self.law(transition)
        chance = torch.special.ndtr((mean - self.threshold) / deviation)
        return torch.where(self.taken(transition), chance, 0.0).sum(1, keepdim=True)


def probability_log(probability: Tensor) -> Tensor:
    """p·log p of probabilities in [0, 1]; 0 at p = 0."""
    return torch.xlogy(probability, probability)


class ProbabilityLogReward(Reward):
    """r = p·log p, p being the predicted probability that the accepted item is chosen.

    It is never positive, 0 at p = 0 and at p = 1, and lowest, -1/e, at p = 1/e. So it prefers what
    is certain *or impossible* to what is likely: below 1/e a better recommendation earns less, and
    an impossible one earns the most. Since every step costs, a policy that maximises it also likes
    sessions to be short. Summed over a whole set it is minus the entropy: what it rewards is a
    predictable user, not a pleased one. It is here because the definition is in use. The user model
    predicts p, and the set is the slate.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the model of choices."""
        self.model = context.users.choice

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): p·log p of the accepted item, 0 for nothing."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        log_p = self.model.log_probabilities(history, slate)[:, :-1]
        return (probability_log(log_p.exp()) * self.taken(transition)).sum(-1, keepdim=True)


def reward_weighted_log_likelihood(rewards: Tensor, log_probabilities: Tensor) -> Tensor:
    """Mean over episodes of Σ_t r_t · log π(a_t | s_t), to be maximised.

    It is the policy gradient's surrogate only where the actions were drawn from π itself and r_t
    is the return from t on, or an advantage. With single rewards it is blind to what an action
    brings later; with rewards of one sign it is lopsided: if all are positive every action taken
    becomes likelier, the better the more; if all are negative (as p·log p is), it grows without
    bound as π gives what was taken no probability at all.

    :param rewards: (..., T), constants: no gradient goes through them.
    :param log_probabilities: (..., T) of the actions taken.
    :returns: a scalar.
    :raises DataError: where the shapes differ.
    """
    if rewards.shape != log_probabilities.shape:
        raise DataError(
            f"Rewards have shape {tuple(rewards.shape)} and log-probabilities "
            f"{tuple(log_probabilities.shape)}; they must be the same."
        )
    return (rewards.detach() * log_probabilities).sum(-1).mean()
