"""Tables of real answers: what people said of all, or nearly all, of a set of items."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import polars as pl
import torch
from torch import Tensor

from lightrec.api import Catalog, Column, RecipeError
from lightrec.data.readers.base import read_tables

Part = Literal["known", "new", "all"]


@dataclass(frozen=True)
class Answers:
    """What P people said of N items.

    :param values: (P, N + 1) float32: what an answer is worth, such as a rating; 0 or less is a
        decline, NaN where nobody asked. Column 0 is NaN.
    :param people: their names, in the order of the rows.
    :param catalog: the items, in the order of the columns.
    """

    values: Tensor
    people: list[str]
    catalog: Catalog

    @classmethod
    @lru_cache(maxsize=4)
    def read(cls, log: str, items: str | None = None) -> Self:
        """Read a log of answers, each pair once, with any reader that is installed.

        Where events have values, these are the answers, and other pairs are not known. Where they
        have none, an event is a like, worth 1, and other pairs are declines, worth 0.

        :param items: a table of the items, of which those that nobody answered are left out.
        :raises DataError: where a table cannot be read.
        :raises RecipeError: where a pair was answered twice.
        """
        tables = read_tables(Path(log), items=None if items is None else Path(items))
        events = tables.log.rows.drop_nulls([Column.USER, Column.ITEM])
        graded = events[Column.VALUE].is_not_null().any()
        names = events[Column.ITEM].unique().cast(pl.String).sort()
        rows = pl.DataFrame({Column.ITEM: names})
        if tables.catalog is not None:
            rows = tables.catalog.rows.join(rows, on=Column.ITEM, how="semi")
        people = events[Column.USER].unique().sort()
        user, item = (
            torch.tensor(events[column].replace_strict(order, range(len(order))).to_list())
            for column, order in ((Column.USER, people), (Column.ITEM, rows[Column.ITEM]))
        )
        pairs = user * len(rows) + item
        if len(pairs.unique()) < len(pairs):
            raise RecipeError(
                f"{log} has two answers of a person to the same item. Keep one of each pair."
            )
        values = torch.full((len(people), len(rows) + 1), torch.nan if graded else 0.0)
        given = events[Column.VALUE].to_list() if graded else [1.0] * len(events)
        values[user, item + 1] = torch.tensor(given)
        values[:, 0] = torch.nan
        return cls(values, people.to_list(), Catalog(rows))

    def part(self, part: Part, share: float = 0.5, seed: int = 0) -> Self:
        """Some of the people: those who may be learned from, or those who judge.

        :param part: ``known`` ones are ``share`` of them, drawn by the seed; the others are
            ``new``.
        :raises RecipeError: where a part would be empty.
        """
        if part == "all":
            return self
        order = torch.randperm(len(self.people), generator=torch.Generator().manual_seed(seed))
        cut = round(share * len(order))
        if not 0 < cut < len(order):
            raise RecipeError(
                f"share is {share}, which leaves none of the {len(order)} people for one of the "
                "parts. Give a number between 0 and 1."
            )
        rows = (order[:cut] if part == "known" else order[cut:]).sort().values
        return replace(self, values=self.values[rows], people=[self.people[row] for row in rows])
