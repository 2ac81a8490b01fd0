"""Goods: how they are put into words, what buying and sending back are worth, a synthetic shop."""

from pathlib import Path
from types import MappingProxyType

import polars as pl
from lightrec_formats.masks import Mask, between, every, left

from lightrec.api import Audience, Domain

PRICE = "price"
"""The items' attribute that says what one piece costs."""


class EcommerceDomain(Domain):
    """Goods, which people look at, put into the cart, buy, send back, and buy again.

    A returned product stays in the history and is never a target. A product whose attribute
    ``stock`` is not above 0 is not shown, nor one before ``available_from`` or after
    ``available_until``; what is not known forbids nothing.
    """

    name = "ecommerce"
    repeats = True
    feedback = MappingProxyType({"view": 0.1, "cart": 0.3, "purchase": 1.0, "return": -1.0})

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put goods into words: ``Oak garden A1. category: garden. tags: oak, kids``.

        Numbers and dates are left out: a price is an attribute, and no encoder of texts tells 9.99
        from 99.9.

        :param items: a catalog.
        :returns: one string an item; empty where nothing is known.
        """
        worded = (pl.String, pl.Categorical, pl.Enum, pl.List)
        return super().text(items.select(name for name in items if name.dtype in worded))

    def eligible(self, audience: Audience) -> Mask | None:
        """Forbid what is out of stock or out of season."""
        season = between(audience, "available_from", "available_until")
        return every(audience, left(audience, "stock"), season)

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the synthetic shop of :mod:`lightrec_ecommerce.made_up`."""
        from lightrec_ecommerce.made_up import shopping  # whoever asks only for words needs none

        return shopping(folder, seed)
