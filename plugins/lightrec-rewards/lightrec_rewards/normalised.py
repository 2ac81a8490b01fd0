"""Rewards brought to unit spread."""

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import Key, Reward
from lightrec.rewards.base import Measured


class RunningMoments(Measured):
    """Mean and spread of all numbers so far, merged batch by batch (Chan et al. 1979).

    They are float64 on the CPU, wherever a reward goes: the mean of millions of numbers moves by
    less than float32 can tell, and not every device has float64.
    """

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "mean", "square"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def _apply(self, fn: Any, recurse: bool = True) -> "RunningMoments":
        return self

    @torch.no_grad()
    def update(self, values: Tensor, weights: Tensor | None = None) -> None:
        """Take numbers (n,) into account, each by its weight (n,), by default 1.

        A number of weight 0 may be anything, even infinite.
        """
        numbers = values.cpu().double()
        weight = torch.ones_like(numbers) if weights is None else weights.cpu().double()
        numbers, new = numbers.where(weight > 0, 0.0), weight.sum()
        if not new:
            return
        total = self.count + new
        mean = (weight * numbers).sum() / new
        apart = mean - self.mean
        within = (weight * (numbers - mean).square()).sum()
        self.square += within + apart.square() * self.count * new / total
        self.mean += apart * new / total
        self.count.copy_(total)

    @property
    def deviation(self) -> Tensor:
        """The standard deviation; 1 where no two numbers differ."""
        deviation = (self.square / (self.count - 1).clamp_min(1)).sqrt()
        return torch.where(deviation > 1e-8, deviation, torch.ones_like(deviation))


class NormalisedReward(Reward):
    """A reward divided by its standard deviation so far.

    The deviation is measured in training mode only, over the first rows: later the scale stays, so
    that epochs can be compared. The judged reward has the same scale. Where a step pays the mean
    over all its outcomes, these count by their probabilities, so that the scale is that of drawn
    outcomes.

    Subtracting the mean changes the task wherever sessions may end: with rewards above 0 users are
    worth keeping, and with a mean of 0 no longer.

    :param reward: the reward to normalise.
    :param center: whether the mean is subtracted too.
    :param rows: after how many rewards the scale stays.
    """

    def __init__(self, reward: Reward, center: bool = False, rows: int = 100_000) -> None:
        super().__init__()
        self.reward, self.center, self.rows = reward, center, rows
        self.moments = RunningMoments()

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        rewards: Tensor = self.reward(transition)
        if self.training and self.moments.count < self.rows:
            self.moments.update(rewards.squeeze(1), transition.get(Key.WEIGHT, None))
        mean = self.moments.mean if self.center else torch.zeros_like(self.moments.mean)
        return ((rewards - mean.to(rewards)) / self.moments.deviation.to(rewards)).float()

    @property
    def judged(self) -> Reward:
        """Its reward's judged reward, on the scale that they share and that this never changes."""
        view = NormalisedReward(self.reward.judged, self.center, self.rows)
        view.moments = self.moments
        # Not view.eval(), which would stop the measuring inside the shared reward.
        view.training = False
        return view
