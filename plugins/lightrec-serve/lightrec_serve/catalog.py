"""The items that are served: those of a run or an export, and those put while it is served."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.api import PADDING, Column, RecipeError
from lightrec.data.filters import Filter, as_times
from lightrec.data.names import Names, Selection
from lightrec.data.types import Kind
from lightrec.errors import no_such

HELD: Final = 256
"""Number of requests whose conditions are remembered with what they leave."""
REMEMBERED: Final = 10_000
"""Names that are remembered with what they mean."""
CHUNKS: Final = 100
"""Pieces of a table in memory, each of which costs time; each item that is put makes another."""
SPELT: Final = 100
"""Names of a request at most that are searched for by their spelling, which takes time."""
IMAGE: Final = "image"
"""Column of addresses of pictures."""
OWN: Final = (Column.ITEM, Column.TITLE, Column.TEXT)


class Catalog:
    """Items 1 to N, then those put while serving; what was deleted keeps its number.

    :param items: N rows: ``item``, ``title``, ``text`` and attributes.
    :param kinds: the kinds of the attributes.
    :param names: finds items as people write them.
    """

    def __init__(self, items: pl.DataFrame, kinds: Mapping[str, Kind], names: Names) -> None:
        title = pl.col(Column.TITLE).fill_null(pl.col(Column.ITEM))
        self.items, self.kinds, self.names = items.with_columns(title), dict(kinds), names
        self.size = items.height
        self.live = self.items.clear()
        """The rows of items N + 1, N + 2, …"""
        self.gone = frozenset[int]()
        self.whole = self.items
        """The rows of all items, another table whenever one of them has changed."""
        self.lookups: dict[str, Any] = {}
        """What was looked up in ``whole``; see :class:`~lightrec.data.audience.Audience`."""
        self._index = {item: i for i, item in enumerate(items[Column.ITEM].to_list(), 1)}
        self._described = [(i, t, x or "") for i, t, x in self.items.select(OWN).iter_rows()]
        self._left: dict[tuple[tuple[str, ...], ...], Tensor] = {}
        """What conditions leave. Whatever changes puts another one here: who reads may be slow."""
        self._titles: dict[str, int] = {}
        """Titles of the live items, in lower case; the first of several with one title."""
        self._spelt: dict[str, int] = {}
        """Names that were searched for."""

    def __len__(self) -> int:
        return self.size + self.live.height

    def knows(self, names: Sequence[str]) -> bool:
        """Whether :meth:`find` finds names without a search."""
        return all(self._found(name) for name in names)

    def _found(self, name: str) -> int | None:
        return self._index.get(name) or self._titles.get(name.lower()) or self._spelt.get(name)

    def find(self, names: Sequence[str]) -> list[int]:
        """Items' numbers by their ids, or by their titles however these are written.

        :raises RecipeError: where none or several fit, or :data:`SPELT` is exceeded.
        """
        numbers = {name: self._found(name) for name in dict.fromkeys(names)}
        other = [name for name, number in numbers.items() if number is None]
        rows = zip(other, self.names.find_all(other, SPELT), strict=True)
        numbers |= (spelt := {name: row + 1 for name, row in rows})
        if spelt:
            self._spelt = dict([*self._spelt.items(), *spelt.items()][-REMEMBERED:])
        return [numbers[name] or PADDING for name in names]

    def numbers(self, items: Sequence[str]) -> list[int]:
        """The numbers of those ids that are an item's, also of one that was deleted."""
        return [self._index[item] for item in items if item in self._index]

    def number(self, item: str) -> int | None:
        """An item's number by its id alone; None where there is none, or none any more."""
        number = self._index.get(item)
        return None if number in self.gone else number

    def describe(self, number: int) -> tuple[str, str, str]:
        """An item's id, title and text."""
        return self._described[number - 1]

    def known(self, number: int) -> dict[str, Any]:
        """An item's row as JSON can hold it, its attributes apart."""
        row = self.whole.row(number - 1, named=True)
        own = {name: row.pop(name) for name in OWN}
        return {**own, "attributes": row}

    def image(self, number: int) -> str | None:
        """The address of an item's picture in the web, where it has one."""
        column = self.whole[IMAGE] if IMAGE in self.whole.columns else None
        said = None if column is None else column[number - 1]
        return said if isinstance(said, str) and said.startswith(("https://", "http://")) else None

    def titled(self, words: str, most: int) -> list[int]:
        """Items whose titles or ids have some letters, those first that begin with them."""
        there, letters = self.whole.with_row_index("number", 1), words.lower()
        title = pl.col(Column.TITLE).str.to_lowercase()
        fits = title.str.contains(letters, literal=True) | (pl.col(Column.ITEM) == words)
        fits &= ~pl.col("number").is_in([*self.gone])
        found = there.filter(fits).sort(~title.str.starts_with(letters), title.str.len_chars())
        return found["number"].head(most).to_list()

    def allowed(
        self, exclude: Sequence[str], only: Sequence[str], candidates: Sequence[str] | None
    ) -> Tensor:
        """The items that a request may be answered with, (N + L + 1,) bool.

        :raises RecipeError: where a name or a condition cannot be read, or nothing is left.
        """
        held, conditions = self._left, (tuple(exclude), tuple(only))
        if (left := held.get(conditions)) is None:
            left = self._leave(*conditions)
            if len(held) >= HELD:
                held.clear()
            held[conditions] = left
        left = left.clone()  # that is remembered
        if candidates is not None:
            numbers = [number for number in self.numbers(candidates) if number not in self.gone]
            if not numbers:
                raise RecipeError(f"None of the {len(candidates)} candidates is an item.")
            left &= torch.zeros_like(left).index_fill(0, torch.tensor(numbers), True)
        if not left.any():
            raise RecipeError("Nothing is left to recommend.")
        return left

    def has_read(self, exclude: Sequence[str], only: Sequence[str]) -> bool:
        """Whether what conditions leave is remembered, or there are none."""
        return not (exclude or only) or (tuple(exclude), tuple(only)) in self._left

    def _select(self, exclude: tuple[str, ...], only: tuple[str, ...]) -> Selection:
        """Read conditions, of which those that name items put while serving are of their ids."""
        live = self.live.select(Column.ITEM, Column.TITLE)
        ids = {item: item for item, _ in live.iter_rows()} | {t: i for i, t in live.iter_rows()}
        without, wanted = ([wish for wish in some if wish not in ids] for some in (exclude, only))
        read = Selection.parse(without, wanted, self.items, self.kinds, self.names)
        for wishes, conditions in ((exclude, read.without), (only, read.only)):
            items = [ids[wish] for wish in wishes if wish in ids]
            conditions += [Filter(item, pl.col(Column.ITEM) == item) for item in items]
        return read

    def _leave(self, exclude: tuple[str, ...], only: tuple[str, ...]) -> Tensor:
        """The items that meet conditions, and are not deleted."""
        gone, whole = self.gone, self.whole
        left = np.ones(whole.height + 1, dtype=bool)
        if exclude or only:
            left[1:] = self._select(exclude, only).mask(whole)[0].to_numpy()
        left[[0, *gone]] = False
        return torch.from_numpy(left)

    def row(self, item: str, row: Mapping[str, Any]) -> pl.DataFrame:
        """Make the row of an item.

        :param row: ``title``, ``text`` and values of attributes.
        :raises RecipeError: where an attribute is not known or a value does not fit.
        """
        schema = self.items.schema
        if wrong := [name for name in row if name not in schema]:
            raise RecipeError(no_such("an attribute of the items", wrong[0], self.kinds))
        dates = {
            name: moment.date() if schema[name] == pl.Date else moment
            for name, value in row.items()
            if self.kinds.get(name) == "date" and isinstance(value, str)
            for moment in as_times(name, value)[:1]
        }
        lists = {  # as in files
            name: value.split("|")
            for name, value in row.items()
            if isinstance(value, str) and isinstance(schema[name], pl.List)
        }
        try:
            values = {Column.ITEM: item} | dict(row) | dates | lists
            new = pl.DataFrame([values], schema=schema, strict=True)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise RecipeError(
                f"The item {item!r} does not fit the catalog's attributes: {reason}."
            ) from None
        return new.with_columns(
            pl.col(Column.TITLE).fill_null(item), pl.col(Column.TEXT).fill_null("")
        )

    def put(self, item: str, row: Mapping[str, Any]) -> int:
        """Add an item, or put one again; its number is returned. See :meth:`row`."""
        new = self.row(item, row)
        number = self._index.setdefault(item, len(self) + 1)
        if number <= self.size:
            self.items = _put(self.items, number - 1, new)
        else:
            self.live = _put(self.live, number - 1 - self.size, new)
        self._described[number - 1 : number] = [new.select(OWN).row(0)]
        self._change(self.gone - {number})
        return number

    def delete(self, items: Sequence[str]) -> None:
        """Take away those items that there are."""
        self._change(self.gone | {*self.numbers(items)})

    def _change(self, gone: frozenset[int]) -> None:
        self.gone, self.whole = gone, pl.concat([self.items, self.live])
        titles = self.live[Column.TITLE].str.to_lowercase().to_list()
        self._titles = {t: self.size + 1 + row for row, t in reversed([*enumerate(titles)])}
        self.lookups.clear()
        self._left = {}


def _put(table: pl.DataFrame, place: int, row: pl.DataFrame) -> pl.DataFrame:
    """A table with a row at a place, in place of the one that is there or behind the last."""
    new = pl.concat([table[:place], row, table[place + 1 :]])
    return new.rechunk() if new.n_chunks() > CHUNKS else new
