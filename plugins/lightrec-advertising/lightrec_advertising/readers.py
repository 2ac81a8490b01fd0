"""Readers of two randomised trials of advertising, which give unbiased logs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column

_NUMBER: Final = "a number from 0"


class _TrialReader(Reader):
    """A CSV file of a trial in which each person was shown one arm.

    The log has a row for each person and outcome: ``item`` is the arm, ``feedback`` the outcome,
    ``value`` what came of it, 0 included, ``candidates`` are the arms and ``propensity`` is the
    design's. It is a logged bandit for each kind of feedback. The other columns are the users'
    attributes.
    """

    arm: ClassVar[tuple[str, ...]]
    """Names of the column of arms, of which the file has one."""
    outcomes: ClassVar[Mapping[str, str]]
    """From columns, of which the file has some, to kinds of feedback."""
    person: ClassVar[str | None] = None
    """The column that names the persons; None: they are numbered by their rows, from 1."""
    unused: ClassVar[tuple[str, ...]] = ()
    needed: ClassVar[tuple[str, ...]]
    """The columns by which the file is known."""
    arms: ClassVar[int]

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a text table with the trial's columns."""
        if not path.is_file() or path.suffix != ".csv":
            return False
        with path.open("rb") as stream:
            head = stream.read(1000).partition(b"\n")[0].decode("utf-8", "replace")
        names = {name.strip('" \r\ufeff') for name in head.split(",")}
        return bool(names & {*cls.arm}) and {*cls.needed} <= names

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the outcomes of all persons.

        :param columns: must be empty, since the columns are fixed.
        :raises DataError: where an outcome is no number, or there are more or fewer arms.
        """
        rows, place = self._rows(path, columns)
        (arm,) = (name for name in self.arm if name in rows.columns)
        names = rows[arm].unique().drop_nulls().sort().to_list()
        if len(names) != self.arms or rows[arm].null_count():
            raise DataError(
                f"Column '{arm}' has the arms {', '.join(map(repr, names))}; expected are "
                f"{self.arms}, one in each row.",
                path,
            )
        problems, tables = Problems(path), []
        for name, kind in self.outcomes.items():
            if name not in rows.columns:
                continue
            value = rows[name].cast(pl.Float64, strict=False)
            bad = value.is_null() | value.is_nan() | (value < 0)
            problems.add_rows(bad, partial(place.value, rows[name], expected=_NUMBER))
            known = {
                Column.USER: self._persons(rows),
                Column.ITEM: rows[arm],
                Column.VALUE: value,
            }
            tables.append(
                pl.DataFrame(known).with_columns(
                    pl.lit(kind).alias(Column.FEEDBACK),
                    pl.lit(1 / self.arms).alias(Column.PROPENSITY),
                    pl.lit(names).alias(Column.CANDIDATES),
                )
            )
        problems.check()
        return InteractionLog(pl.concat(tables), place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Give the arms."""
        rows, place = self._rows(path, columns)
        (arm,) = (name for name in self.arm if name in rows.columns)
        names = rows[arm].unique().drop_nulls().sort()
        return Catalog(pl.DataFrame({Column.ITEM: names, Column.TITLE: names}), place=place)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read what was known of the persons before."""
        rows, place = self._rows(path, columns)
        left = [*self.arm, *self.outcomes, *self.unused, self.person or ""]
        known = rows.drop(left, strict=False)
        return Users(known.insert_column(0, self._persons(rows)), place=place)

    def _rows(self, path: Path, columns: Mapping[str, str] | None) -> tuple[pl.DataFrame, Place]:
        if columns:
            raise DataError("The columns of a trial are fixed and cannot be named.", path)
        problems, table = Problems(path), TableReader().open(path)
        rows, place = table.read(table.names, problems)
        problems.check()
        return rows, place

    def _persons(self, rows: pl.DataFrame) -> pl.Series:
        if self.person:
            return rows[self.person].alias(Column.USER)
        numbers = pl.Series(Column.USER, range(1, rows.height + 1))
        return numbers.cast(pl.String)


class HillstromReader(_TrialReader):
    """Hillstrom's e-mail challenge of 2008: a men's or women's e-mail, or none, a third each.

    Outcomes of the two weeks after: ``visit`` and ``conversion`` (0 or 1), where the file has them,
    and ``spend`` in dollars.
    """

    name = "hillstrom"
    arm = ("segment", "treatment")
    outcomes: ClassVar = {"visit": "visit", "conversion": "conversion", "spend": "spend"}
    unused = ("history_segment",)
    arms = 3
    needed = ("recency", "history", "mens", "womens", "newbie", "spend")


class AdSmartReader(_TrialReader):
    """AdSmart's test of an interactive advertisement against a plain one, half the auctions each.

    Outcomes: ``yes`` and ``no``, the answers to a question on the brand; most people gave neither.
    """

    name = "adsmart"
    arm = ("Experiment",)
    outcomes: ClassVar = {"Yes": "yes", "No": "no"}
    person = "AuctionID"
    arms = 2
    needed = ("AuctionID", "Experiment", "Yes", "No")
