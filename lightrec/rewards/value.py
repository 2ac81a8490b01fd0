"""Rewards of what an accepted item is worth: a rating, seconds of dwell, a purchase."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext


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
