"""A reward that weighs what people like with what is good for them."""

import polars as pl
from lightrec_rewards.accepted import AttributeReward, to_amounts
from torch import Tensor

from lightrec_health.harm import SCORE


class HealthReward(AttributeReward):
    """(1 − weight) · 1 + weight · health score, for each accepted item.

    An item without a score counts as one of score 0.

    :param weight: of health, 0 to 1; what is liked and nothing else is 0.
    :param attribute: of the items, a number from 0 to 1, high for what is healthy.
    """

    def __init__(self, weight: float = 0.5, attribute: str = SCORE) -> None:
        super().__init__(attribute, weight)

    def worths(self, column: pl.Series) -> Tensor:
        """The items' health scores."""
        return health_scores(column)


def health_scores(column: pl.Series) -> Tensor:
    """Read health scores, (N,) float32; 0 where there is none.

    :raises NotApplicable: where one is not a number from 0 to 1.
    """
    return to_amounts(column, 1.0, "a health score from 0 to 1").nan_to_num(0)
