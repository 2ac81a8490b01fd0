"""Rewards of the answer to a slate: what was accepted, its worth, and how sure that is."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.rewards.base import Reward, UserReward
from lightrec.users.choice_model import with_nothing


class EngagementReward(Reward):
    """The number of accepted items.

    It counts whatever people do, also what they regret: maximised, it pays for bait.
    """

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        return self.taken(transition).float().sum(1, keepdim=True)


class LearnedReward(UserReward):
    """The reward r(s, i) of each accepted item by a user model, in nats relative to nothing.

    It is as good as the model's assumptions: the discount, the leave rate and, in logs without
    impressions, how often nothing is chosen.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        return self.of_taken(transition, self.users.reward(*self.asked(transition)))


class SurplusReward(UserReward):
    """r(s, i) - log π(i) of an accepted item, -log π(nothing) where nothing was accepted.

    This is the step reward whose discounted sum a soft-optimal user maximises (Ziebart et al.
    2008). For a myopic user it is log(1 + Σ exp r) whatever he chooses, the consumer surplus of the
    slate (Small and Rosen 1981): never negative, and growing with every item's reward.

    The learned reward alone misleads a policy wherever most offers are declined. An item accepted
    with probability below one half has a negative reward there, so that the policy learns to show
    what nobody takes.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), in nats."""
        taken = self.taken(transition)
        chosen = torch.cat([taken, ~taken.any(1, keepdim=True)], 1)
        history, items, user = self.asked(transition)
        utilities = self.users.utilities(history, transition[Key.ACTION], user)
        surprise = torch.where(chosen, -with_nothing(utilities).log_softmax(1), 0)
        reward = self.users.reward(history, items, user)
        return self.of_taken(transition, reward) + surprise.sum(1, keepdim=True)


class ValueReward(UserReward):
    """The mean value of what was accepted, in the log's own units; 0 for nothing.

    :param least: is subtracted from every accepted item's value, such as the lowest good rating.
    """

    needs = "valuing"

    def __init__(self, least: float = 0.0) -> None:
        super().__init__()
        self.least = least

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        mean, _ = self.users.value(*self.asked(transition))
        return self.of_taken(transition, mean - self.least)


class UncertaintyPenalty(UserReward):
    """Minus the uncertainty of an ensemble of user models about the answer to a slate, in nats.

    It keeps a policy to what the log knows (Yu et al. 2020, "MOPO"). A simulator's own uncertainty
    under ``next`` is used where there is one.
    """

    needs = "uncertainty"

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), at least minus the logarithm of the number of members."""
        known: Tensor | None = transition.get(("next", Key.UNCERTAINTY), None)
        if known is not None:
            return -known
        user = transition.get(Key.USER, None)
        found = self.users.predict(transition[Key.HISTORY], transition[Key.ACTION], user)[1]
        return -found.unsqueeze(1)
