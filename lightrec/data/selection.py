"""Which items are left by what a request excludes, and what it wants only."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

import polars as pl

from lightrec.data import filters
from lightrec.data.filters import Filter
from lightrec.data.names import Names
from lightrec.data.types import Kind
from lightrec.errors import RecipeError
from lightrec.keys import Column


class Selection(NamedTuple):
    """Conditions that are read, and can be asked of any table with the same columns."""

    only: list[Filter]
    """One of these must hold, where there are any."""
    without: list[Filter]
    """None of these may hold."""

    @classmethod
    def parse(
        cls,
        exclude: str | Sequence[str],
        only: str | Sequence[str],
        catalog: pl.DataFrame,
        kinds: Mapping[str, Kind],
        names: Names,
    ) -> "Selection":
        """Read titles, item ids and conditions; see :mod:`lightrec.data.filters`.

        :param kinds: of the catalog's attributes.
        :param names: of the catalog's items.
        :raises RecipeError: where a title, an attribute or its value is not known.
        """

        wishes = *several(only), *several(exclude)
        known = names.exactly(wishes)
        titles = [w for w in wishes if w in known or not filters.looks_like_one(w)]
        rows = dict(zip(titles, names.find_all(titles), strict=True))

        def read(wish: str) -> Filter:
            # A title or id counts as a condition on the id.
            if wish not in rows:
                return filters.parse(wish, catalog, kinds)
            return Filter(wish, pl.col(Column.ITEM) == names.ids[rows[wish]])

        return cls(list(map(read, several(only))), list(map(read, several(exclude))))

    def mask(self, catalog: pl.DataFrame) -> tuple[pl.Series, str]:
        """Which items of a table are left, and how many each condition leaves.

        :returns: (N,) bool, and the begin of a sentence, empty where there is no condition.
        """
        left = pl.repeat(True, catalog.height, eager=True)
        account: list[str] = []

        def leave(said: str, mask: pl.Series) -> pl.Series:
            rest = left & mask
            kept = f"{rest.sum():,} item{'s' * (rest.sum() != 1)}"
            account.append(f"{said} leaves {f'{rest.sum():,} of them' if account else kept}")
            return rest

        if len(self.only) == 1:
            for part in self.only[0].parts or self.only:
                left = leave(part.text, part.mask(catalog))
        elif self.only:
            masks = [wish.mask(catalog) for wish in self.only]
            left = leave(" or ".join(wish.text for wish in self.only), reduce(or_, masks))
        for wish in self.without:
            left = leave(f"without {wish.text}", ~wish.mask(catalog))
        return left, ", ".join(account)

    def left(self, catalog: pl.DataFrame) -> tuple[pl.Series, str]:
        """Do as :meth:`mask` does.

        :raises RecipeError: where nothing is left, with how many items each condition leaves.
        """
        left, account = self.mask(catalog)
        if not left.any():
            raise RecipeError(f"Nothing is left to recommend: {account}.")
        return left, account


def several(texts: str | Sequence[str]) -> Sequence[str]:
    """Take one text for a list of one, and not for its letters."""
    return [texts] if isinstance(texts, str) else texts
