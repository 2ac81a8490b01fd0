"""The canonical schema of logs, and the problems that are reported with their places."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import polars as pl

from lightrec.errors import DataError
from lightrec.keys import Column

LOG_SCHEMA: Final[dict[str, pl.DataType]] = {
    Column.USER: pl.Categorical(),
    Column.ITEM: pl.Categorical(),
    Column.TIME: pl.Datetime("ms", "UTC"),
    Column.FEEDBACK: pl.Categorical(),
    Column.VALUE: pl.Float64(),
    Column.COUNT: pl.Int64(),
    Column.SESSION: pl.String(),
    Column.IMPRESSION: pl.String(),
    Column.POSITION: pl.Int16(),
    Column.PROPENSITY: pl.Float64(),
    Column.CANDIDATES: pl.List(pl.String()),
}
"""All columns of a log. None is ever missing; all but ``feedback`` may be null.

Categories are text of which each event holds a number: 4 bytes in place of 16.
"""
WORDED: Final = tuple(name for name, dtype in LOG_SCHEMA.items() if dtype == pl.Categorical)
"""Columns of a log whose texts repeat."""

_LONGEST: Final = 60
_NUMBERED: Final = re.compile(r"(Row|Line) (\d+)( has\b| is\b| holds\b| lists\b)?(.*)", re.DOTALL)
_PLURAL: Final = {" has": " have", " is": " are", " holds": " hold", " lists": " list"}
NAMED: Final = 3
"""Number of places of one cause that are named."""


@dataclass(frozen=True)
class Place:
    """The source of a table, for messages that name the file and the line.

    :param source: the file, or None for a table made in memory.
    :param unit: what the rows of the file are called.
    :param number: from a row, counted from 0, to its number in the file.
    :param names: the file's names of columns that are renamed.
    :param ignored: columns of the file that a log does not have, which were not used.
    :param form: the file's format in words, such as ``text separated by tabs, UTF-8``.
    """

    source: Path | str | None = None
    unit: Literal["Row", "Line"] = "Row"
    number: Callable[[int], int] = (1).__add__
    names: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    form: str = ""

    def row(self, index: int) -> str:
        """Name a row, counted from 0, as it appears in the file."""
        return f"{self.unit} {self.number(index)}"

    def name(self, column: pl.Series) -> str:
        """The file's name of a column."""
        return self.names.get(column.name, column.name)

    def within(self, rows: pl.Series) -> "Place":
        """The place of parts of rows, which are named by their rows."""
        return replace(self, number=lambda index: self.number(rows[index]))

    def value(self, column: pl.Series, row: int, expected: str) -> str:
        """A sentence that says that a value is not, for example, ``"a number"``."""
        one = column.slice(row, 1)
        if column.dtype.is_temporal():
            # Only values outside the calendar are reported, and polars cannot format them.
            shown = f"{one.to_physical()[0]} (of type {column.dtype})"
        else:
            shown = repr(one[0])
        if len(shown) > _LONGEST:
            shown = f"{shown[:_LONGEST]}…"
        return f"{self.row(row)}, column '{self.name(column)}': {shown} is not {expected}."


class Table(ABC):
    """Columns of a file or a database, read when asked for."""

    path: Path | str
    names: list[str]
    repeating: Collection[str] = ()
    """Columns whose texts repeat, which may be read as categories to save memory."""
    headed = True
    """Whether the columns have names of their own, and not only positions."""
    form = ""
    """The format in words."""

    @cached_property
    def faults(self) -> dict[str, str]:
        """Faults of lines that were not read, by what the lines are called."""
        return {}

    @abstractmethod
    def read(self, names: Sequence[str], problems: "Problems") -> tuple[pl.DataFrame, Place]:
        """Read some columns.

        :param names: out of ``names``.
        :param problems: receives a sentence for each fault; the columns and rows without are read.
        :returns: the columns, and the place that names their rows.
        """

    def shown(self) -> str:
        """List the columns for a message."""
        return ", ".join(f"'{name}'" for name in self.names) or "no columns"

    def sample(self, name: str) -> list[str]:
        """The first values of a column as strings, at most 200."""
        frame = self.read([name], Problems())[0]
        plain = [column for column in frame if not column.dtype.is_nested()]
        return [text for c in plain for text in c.drop_nulls().head(200).cast(pl.String)]


class Problems:
    """The problems of one or several tables, gathered so that all are reported at once.

    Only as many become sentences as are shown; the others are counted.

    :param source: the file, named in the error; None if the sentences name it.
    :param skipping: how many rows a table has of which bad ones are left out; None: they are
        problems.
    """

    def __init__(self, source: object | None = None, skipping: int | None = None) -> None:
        self.source, self.skipping = source, skipping
        self.skipped: dict[int, str] = {}
        """Faults of rows that are left out, counted from 0."""
        self.sentences: list[str] = []
        self.more = 0
        """The number of problems without a sentence."""

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def add(self, sentence: str) -> None:
        """Add one whole sentence."""
        if len(self.sentences) < DataError.SHOWN:
            self.sentences.append(sentence)
        else:
            self.more += 1

    def add_rows(self, bad: pl.Series, sentence: Callable[[int], str]) -> None:
        """Add one sentence for all bad rows, as :meth:`add_places` does.

        :param bad: (rows,) bool; null counts as good.
        :param sentence: from a row, counted from 0, to its problem.
        """
        rows = bad.fill_null(False).arg_true()
        if len(bad) == self.skipping:
            self.skipped = {row: sentence(row) for row in rows} | self.skipped
            return
        self.add_places([sentence(row) for row in rows.head(NAMED)], len(rows))

    def add_places(self, sentences: Sequence[str], count: int) -> None:
        """Add one sentence for one cause: ``Lines 3, 17, 40 and 212 others have no item.``

        :param sentences: of the first three places at most, each beginning with ``Line 3``.
        :param count: of all places.
        """
        matches = [match for text in sentences[:NAMED] if (match := _NUMBERED.match(text))]
        if count < 2 or not matches:
            for sentence in sentences[:count]:
                self.add(sentence)
            return
        unit, _, verb, rest = matches[0].groups()
        if any(match[4] != rest for match in matches):
            rest = rest.replace(": ", ": for example, ", 1)
        numbers = [match[2] for match in matches]
        if others := count - len(numbers):
            numbers.append(f"{others:,} other{'s' * (others > 1)}")
        places = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
        self.add(f"{unit}s {places}{_PLURAL.get(verb, '')}{rest}")

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Add the problems of an error that the block raises, with its file if that is another."""
        try:
            yield
        except DataError as error:
            where = "" if error.source in (None, self.source) else f"{error.source}: "
            for problem in error.problems:
                self.add(where + problem)
            self.more += error.more

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Like :meth:`taking`, and raise all problems after the block, if there are any."""
        with self.taking():
            yield
        self.check()

    def check(self) -> None:
        """Raise all problems as one DataError, if there are any."""
        if self:
            raise DataError(self.sentences, self.source, self.more)
