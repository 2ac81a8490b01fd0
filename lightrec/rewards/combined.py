"""Rewards made of rewards: weighted sums."""

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.rewards.base import Measured, Reward


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
        """Give rewards (B, 1)."""
        terms = [w * part(transition) for w, part in zip(self.weights, self.parts, strict=True)]
        return torch.stack(terms).sum(0)

    @property
    def judged(self) -> Reward:
        """The sum of its parts' judged rewards, under the same weights."""
        return WeightedSum([p.judged for p in self.parts if isinstance(p, Reward)], self.weights)


def measured(reward: Reward) -> nn.ModuleList:
    """All that a reward has measured in training."""
    return nn.ModuleList(part for part in reward.modules() if isinstance(part, Measured))
