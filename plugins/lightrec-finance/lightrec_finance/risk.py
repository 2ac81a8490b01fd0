"""Risk: how it is measured and classed, and whom a product suits."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from lightrec_formats.made_up import Floats
from lightrec_formats.masks import Mask, amounts, every, up_to

from lightrec.api import Audience

TRADING_DAYS: Final = 252
"""Number of trading days in a year."""
RISK: Final = "risk"
"""Attribute of products: the risk class, 1 (lowest) to 7, as in European key information sheets."""
RISK_LIMIT: Final = "risk_limit"
"""Attribute of investors: the highest risk class that suits them."""
SUITABLE: Final = {RISK: RISK_LIMIT, "holding_years": "years", "largest_loss": "loss_limit"}
"""Attributes of products, each with the one of investors that it may not exceed: besides the risk
class the years for which a product is meant to be held, and those until the investor needs the
money; and the share of it that may be lost (above 1 with borrowed money), and that can be borne."""
CLASSES: Final = 7
_BOUNDS: Final = (0.005, 0.05, 0.12, 0.20, 0.30, 0.80)


def risk_class(volatility: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Sort yearly volatilities into risk classes, 1 to 7.

    The bounds are those of the market risk measure in Annex II of the Commission Delegated
    Regulation (EU) 2017/653: 0.5, 5, 12, 20, 30 and 80 % a year.

    :param volatility: standard deviations of a year's returns, any shape; 0.2 is 20 %.
    """
    return np.searchsorted(_BOUNDS, volatility, side="right").astype(np.int64) + 1


def volatility(returns: Floats, periods: int = TRADING_DAYS) -> Floats:
    """Yearly volatility: the sample deviation of returns, times the root of a year's periods.

    :param returns: (T, …), two or more, of equal periods.
    """
    return np.asarray(returns.std(axis=0, ddof=1) * np.sqrt(periods))


def suits(audience: Audience) -> Mask | None:
    """Allow products up to the investor's limits, those of :data:`SUITABLE`.

    A product without a class counts as class 7, an investor without a limit as class 1; so do
    other attributes count at their worst where somebody has them. A new user is shown nothing
    riskier. Where the log has none of them, nobody has assessed suitability: everything is
    allowed, and the report says so.
    """
    risk, *others = SUITABLE.items()
    classed = up_to(audience, *risk, unknown=(CLASSES, 1), read=classes_of)
    return every(audience, classed, *(up_to(audience, *pair) for pair in others))


def is_assessed(users: pl.DataFrame, items: pl.DataFrame) -> bool:
    """Whether a log classes products or investors, so that suitability can be checked."""
    return any(n in items.columns or of in users.columns for n, of in SUITABLE.items())


def classes_of(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of risk classes as whole numbers; null where there is no class from 1 to 7."""
    classes = amounts(table, name)
    good = classes.is_between(1, CLASSES) & (classes == classes.floor())
    return classes.set(~good.fill_null(False), None).cast(pl.Int64)
