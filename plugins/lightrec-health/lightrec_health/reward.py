"""A reward that weighs what people like with what is good for them."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext
from lightrec_health.domain import SCORE


class HealthReward(Reward):
    """(1 − weight) · 1 + weight · health score, for each accepted item.

    An item without a score counts as one of score 0.

    :param weight: of health, 0 to 1; what is liked and nothing else is 0.
    :param attribute: of the items, a number from 0 to 1, high for what is healthy.
    :raises RecipeError: where the weight is out of range.
    """

    worth: Tensor

    def __init__(self, weight: float = 0.5, attribute: str = SCORE) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise RecipeError(f"The weight of health is {weight}; give one from 0 to 1.")
        self.weight, self.attribute = weight, attribute

    def bind(self, context: RewardContext) -> None:
        """Take the items' scores.

        :raises NotApplicable: where the items have none, or they are not between 0 and 1.
        """
        score = health_scores(context.item_attribute(self.attribute))
        worth = (1 - self.weight) + self.weight * score
        # Column 0 is padding, and column N + 1 that nothing was chosen.
        self.register_buffer("worth", pad(worth, (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from 0 to 1 for each accepted item."""
        return self.of_taken(transition, self.worth[transition[Key.ACTION]])


def health_scores(column: pl.Series) -> Tensor:
    """Read health scores, (N,) float32; 0 where there is none.

    :raises NotApplicable: where one is not a number from 0 to 1.
    """
    scores = column.cast(pl.Float64, strict=False)
    if bad := ((scores.is_null() & column.is_not_null()) | ~scores.is_between(0, 1)).sum():
        raise NotApplicable(
            f"The attribute {column.name!r} is to be a health score from 0 to 1, and {bad} items "
            "have something else: scale it, or name another attribute."
        )
    return torch.from_numpy(scores.fill_null(0).to_numpy().copy()).float()
