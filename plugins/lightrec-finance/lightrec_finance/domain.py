"""Investments: their words, who may be shown which, and what a trade is worth."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.api import Audience, Domain

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


class FinanceDomain(Domain):
    """Shares, funds and bonds: bought again and again, sold, and not suitable for everybody."""

    name = "finance"
    repeats = True
    words = MappingProxyType(
        dict.fromkeys(("title", "kind", "sector", "industry"), "{}")
        | {RISK: f"risk class {{}} of {CLASSES}"}
    )
    feedback = MappingProxyType({"purchase": 1.0, "exchange": 1.0, "sale": -1.0})
    disclaimer = (
        "This is no investment advice: lists show what similar investors chose, and what prices "
        "did in the past says nothing sure of what they will do."
    )

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put products into words: ``Harbour Energy. share. energy. risk class 5 of 7``."""
        classes = [_classes(items, RISK)] if RISK in items.columns else []
        return super().text(items.with_columns(classes))

    def eligible(self, audience: Audience) -> npt.NDArray[np.bool_] | None:
        """Allow products up to the investor's limits, those of :data:`SUITABLE`.

        A product without a class counts as class 7, an investor without a limit as class 1; so do
        other attributes count at their worst where somebody has them. A stranger is shown nothing
        riskier. Where the log has none of them, nobody has assessed suitability: everything is
        allowed, and the report says so.
        """
        users, items, allowed = audience.users, audience.items, None
        for product, investor in SUITABLE.items():
            if product not in items.columns and investor not in users.columns:
                continue
            read, least, most = (_classes, 1, CLASSES) if product == RISK else (_amounts, 0, np.inf)
            limits = read(users, investor).fill_null(least).to_numpy()
            fits = limits[:, None] >= read(items, product).fill_null(most).to_numpy()
            allowed = fits if allowed is None else allowed & fits
        return allowed

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a made-up log of investors in a market whose prices move on."""
        from lightrec_finance.made_up import write

        return write(folder, seed)


def is_assessed(users: pl.DataFrame, items: pl.DataFrame) -> bool:
    """Whether a log classes products or investors, so that suitability can be checked."""
    return any(n in items.columns or of in users.columns for n, of in SUITABLE.items())


def _classes(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of risk classes as whole numbers; null where there is no class from 1 to 7."""
    classes = _amounts(table, name)
    good = classes.is_between(1, CLASSES) & (classes == classes.floor())
    return classes.set(~good.fill_null(False), None).cast(pl.Int64)


def _amounts(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of numbers of 0 or more; null where there is none."""
    if name not in table.columns or table[name].dtype.is_nested():
        return pl.Series(name, [None] * table.height, pl.Float64)
    amounts = table[name].cast(pl.Float64, strict=False)
    return amounts.set(~(amounts >= 0).fill_null(False), None)
