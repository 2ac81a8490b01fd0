"""Investments: their words, who may be shown which, and what a trade is worth."""

from pathlib import Path
from types import MappingProxyType

import polars as pl
from lightrec_formats.masks import Mask

from lightrec.api import Audience, Domain
from lightrec_finance.risk import CLASSES, RISK, classes_of, suits


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
        classes = [classes_of(items, RISK)] if RISK in items.columns else []
        return super().text(items.with_columns(classes))

    def eligible(self, audience: Audience) -> Mask | None:
        """Allow products up to the investor's limits; see :func:`~lightrec_finance.risk.suits`."""
        return suits(audience)

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a synthetic log of investors in a market whose prices move on."""
        from lightrec_finance.made_up import write

        return write(folder, seed)
