"""The worth of a step to a shop: that somebody buys, and what it costs."""

import sys

import polars as pl
from lightrec_rewards.accepted import AttributeReward, to_amounts
from torch import Tensor

from lightrec.api import NotApplicable
from lightrec_ecommerce.domain import PRICE


class Revenue(AttributeReward):
    """(1 − weight) · 1 + weight · price / mean price, for each item taken.

    Weight 0 counts conversions, weight 1 money in units of the catalog's mean price. An item
    without a price counts as one of the mean price.

    :param weight: of the price, 0 to 1.
    :param attribute: of the items, their price.
    """

    def __init__(self, weight: float = 1.0, attribute: str = PRICE) -> None:
        super().__init__(attribute, weight)

    def worths(self, column: pl.Series) -> Tensor:
        """The items' prices over the mean price.

        :raises NotApplicable: where one is no amount, or none is above 0.
        """
        price = prices(column)
        return price / price.mean()


def prices(column: pl.Series) -> Tensor:
    """Read prices, (N,) float32, the mean where there is none.

    :raises NotApplicable: where one is no number of 0 or more, or none is above 0.
    """
    amounts = to_amounts(column, sys.float_info.max, "a price of 0 or more")
    if not amounts.nansum():
        raise NotApplicable(
            f"No item has a {column.name!r} above 0: use EngagementReward, which needs no prices."
        )
    return amounts.nan_to_num(float(amounts.nanmean()))
