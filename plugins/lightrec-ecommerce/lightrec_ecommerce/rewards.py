"""What a step is worth to a shop: that somebody buys, and what it costs."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext
from lightrec_ecommerce.domain import PRICE


class Revenue(Reward):
    """(1 − weight) · 1 + weight · price / mean price, for each item taken.

    Weight 0 counts conversions, weight 1 money in units of the catalog's mean price. An item
    without a price counts as one of the mean price.

    :param weight: of the price, 0 to 1.
    :param attribute: of the items, their price.
    :raises RecipeError: where the weight is out of range.
    """

    worth: Tensor
    """(N + 2,) float32: of each item, 0 of padding and of nothing."""

    def __init__(self, weight: float = 1.0, attribute: str = PRICE) -> None:
        super().__init__()
        if not 0 <= weight <= 1:
            raise RecipeError(f"The weight of prices is {weight}; give one from 0 to 1.")
        self.weight, self.attribute = weight, attribute

    def bind(self, context: RewardContext) -> None:
        """Take the items' prices.

        :raises NotApplicable: where there are none, or one is no amount.
        """
        price = prices(context.item_attribute(self.attribute))
        share = (price / price.nanmean()).nan_to_num(1.0)
        self.register_buffer("worth", pad((1 - self.weight) + self.weight * share, (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        return self.of_taken(transition, self.worth[transition[Key.ACTION]])


def prices(column: pl.Series) -> Tensor:
    """Read prices, (N,) float32; NaN where there is none.

    :raises NotApplicable: where one is no number of 0 or more, or all are unknown or 0.
    """
    found = column.cast(pl.Float64, strict=False)
    bad = (found.is_null() & column.is_not_null()) | (found < 0) | found.is_infinite()
    if bad.any() or not found.fill_nan(None).sum():
        raise NotApplicable(
            f"The attribute {column.name!r} is to be a price, and {int(bad.sum())} of its "
            f"{len(column)} values are no amount of 0 or more, or none is above 0. Correct the "
            "table, or use EngagementReward, which needs no prices."
        )
    return torch.tensor(found.fill_null(float("nan")).to_numpy(), dtype=torch.float32)
