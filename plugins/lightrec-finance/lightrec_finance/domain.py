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
        """Allow products up to the investor's risk limit.

        A product without a class counts as class 7, an investor without a limit as class 1; a
        stranger is shown nothing riskier. Where the log classes neither products nor investors,
        nobody has assessed suitability: everything is allowed, and the report says so.
        """
        users, items = audience.users, audience.items
        if not is_assessed(users, items):
            return None
        limits = _classes(users, RISK_LIMIT).fill_null(1).to_numpy()
        risks = _classes(items, RISK).fill_null(CLASSES).to_numpy()
        return np.asarray(limits[:, None] >= risks)

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a made-up log of investors in a market whose prices move on."""
        from lightrec_finance.made_up import write

        return write(folder, seed)


def is_assessed(users: pl.DataFrame, items: pl.DataFrame) -> bool:
    """Whether a log classes products or investors, so that suitability can be checked."""
    return RISK_LIMIT in users.columns or RISK in items.columns


def _classes(table: pl.DataFrame, name: str) -> pl.Series:
    """A column of risk classes as whole numbers; null where there is no class from 1 to 7."""
    if name not in table.columns or table[name].dtype.is_nested():
        return pl.Series(name, [None] * table.height, pl.Int64)
    classes = table[name].cast(pl.Float64, strict=False)
    good = classes.is_between(1, CLASSES) & (classes == classes.floor())
    return classes.set(~good.fill_null(False), None).cast(pl.Int64)
