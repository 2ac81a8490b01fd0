"""Readers of two randomised trials of advertising, which give unbiased logs."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from lightrec_formats.published import PublishedReader

from lightrec.api import (
    Catalog,
    Column,
    DataError,
    InteractionLog,
    Place,
    Problems,
    Users,
    to_numbers,
)

_NUMBER: Final = 0, sys.float_info.max, "a number from 0"


class _TrialReader(PublishedReader):
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
    arms: ClassVar[int]

    def events(self, file: Path) -> InteractionLog:
        """Read the outcomes of all persons.

        :raises DataError: where an outcome is no number, or there are more or fewer arms.
        """
        rows, place = self.rows(file)
        names = rows[Column.ITEM].unique().drop_nulls().sort().to_list()
        if len(names) != self.arms or rows[Column.ITEM].null_count():
            raise DataError(
                f"Column '{place.name(rows[Column.ITEM])}' has the arms "
                f"{', '.join(map(repr, names))}; expected are {self.arms}, one in each row.",
                file,
            )
        problems, tables = Problems(file), []
        for name, kind in self.outcomes.items():
            if name in rows.columns:
                value = to_numbers(
                    rows[name], pl.Float64(), _NUMBER, place, problems, required=True
                )
                table = rows.select(Column.USER, Column.ITEM, value.alias(Column.VALUE))
                tables.append(table.with_columns(feedback=pl.lit(kind)))
        problems.check()
        design = {"propensity": pl.lit(1 / self.arms), "candidates": pl.lit(names)}
        return InteractionLog(pl.concat(tables).with_columns(**design), place=place)

    def items(self, file: Path) -> Catalog:
        """The arms."""
        rows, place = self.rows(file)
        names = rows[Column.ITEM].unique().drop_nulls().sort()
        return Catalog(pl.DataFrame({Column.ITEM: names, Column.TITLE: names}), place=place)

    def users(self, file: Path) -> Users:
        """Read what was known of the persons before."""
        rows, place = self.rows(file)
        left = [Column.ITEM, *self.outcomes, *self.unused]
        return Users(rows.drop(left, strict=False), place=place)

    def rows(self, file: Path) -> tuple[pl.DataFrame, Place]:
        """Read all columns, with the person as ``user`` and the arm as ``item``."""
        ours = dict.fromkeys(self.arm, Column.ITEM) | {self.person: Column.USER}
        names = self.open(file).names
        rows, place = self.table(file, {ours.get(name, name): name for name in names})
        if not self.person:
            rows = rows.with_columns(pl.int_range(1, pl.len() + 1).cast(pl.String).alias("user"))
        return rows.select(Column.USER, pl.exclude(Column.USER)), place


class HillstromReader(_TrialReader):
    """Hillstrom's e-mail challenge of 2008: a men's or women's e-mail, or none, a third each.

    Outcomes of the two weeks after: ``visit`` and ``conversion`` (0 or 1), where the file has them,
    and ``spend`` in dollars.
    """

    name = "hillstrom"
    known_by = frozenset({"recency", "history", "mens", "womens", "newbie", "spend"})
    arm = ("segment", "treatment")
    outcomes: ClassVar = {"visit": "visit", "conversion": "conversion", "spend": "spend"}
    unused = ("history_segment",)
    arms = 3


class AdSmartReader(_TrialReader):
    """AdSmart's test of an interactive advertisement against a plain one, half the auctions each.

    Outcomes: ``yes`` and ``no``, the answers to a question on the brand; most people gave neither.
    """

    name = "adsmart"
    known_by = frozenset({"AuctionID", "Experiment", "Yes", "No"})
    arm = ("Experiment",)
    outcomes: ClassVar = {"Yes": "yes", "No": "no"}
    person = "AuctionID"
    arms = 2
