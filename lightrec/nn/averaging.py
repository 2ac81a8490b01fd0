"""The mean of the last weights of a training, which changes less than those of any one step."""

from typing import Final

import torch
from lightning.pytorch.callbacks import WeightAveraging

YOUNG: Final = 10
"""A training's first steps average over a share of themselves: its inverse."""


class MovingAverage(WeightAveraging):
    """Validates and keeps the exponential moving average of the weights (Polyak 1992).

    Among epochs that differ by chance, the best one on few validation events is the luckiest one;
    averages differ less. A short training averages over its last tenth.

    :param decay: of what a step adds, for each step since.
    """

    def __init__(self, decay: float = 0.998) -> None:
        def average(mean: torch.Tensor, new: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            return torch.lerp(mean, new, max(1 - decay, YOUNG / (YOUNG + int(steps))))

        super().__init__(use_buffers=False, avg_fn=average)
