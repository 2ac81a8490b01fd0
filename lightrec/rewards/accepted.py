"""Rewards of accepted items, by number, value and worth to the user; weighted sums of rewards."""

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.moved import old_names
from lightrec.rewards.base import Reward, UserReward
from lightrec.users.choice_model import with_nothing

__getattr__ = old_names(__name__)


class EngagementReward(Reward):
    """The number of accepted items.

    It counts whatever people do, also what they regret: maximised, it pays for bait.
    """

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        return self.taken(transition).float().sum(1, keepdim=True)


class LearnedReward(UserReward):
    """The reward r(s, i) of each accepted item by a user model, in nats relative to nothing.

    It is as good as the model's assumptions: the discount, the leave rate and, in logs without
    impressions, how often nothing is chosen.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
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
        """Rewards (B, 1), in nats."""
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
        """Rewards (B, 1)."""
        mean, _ = self.users.value(*self.asked(transition))
        return self.of_taken(transition, mean - self.least)


class WeightedSum(Reward):
    """Σ weight · part, of any rewards.

    In a recipe each part is a name, or a ``class_path`` with ``init_args``.

    :param parts: the rewards.
    :param weights: one a part, of either sign; by default 1 each.
    :raises RecipeError: where there is no part, or not as many weights as parts.
    """

    def __init__(self, parts: list[Reward], weights: list[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(parts) if weights is None else list(weights)
        if not parts or len(weights) != len(parts):
            raise RecipeError(
                f"A weighted sum was given {len(parts)} parts and {len(weights)} weights; give at "
                "least one part, and one weight a part."
            )
        self.parts = nn.ModuleList(parts)
        self.weights = weights

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        terms = [w * part(transition) for w, part in zip(self.weights, self.parts, strict=True)]
        return torch.stack(terms).sum(0)

    @property
    def judged(self) -> Reward:
        """The sum of its parts' judged rewards, under the same weights."""
        return WeightedSum([p.judged for p in self.parts if isinstance(p, Reward)], self.weights)
