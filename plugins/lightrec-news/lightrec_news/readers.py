"""Readers of two public logs of news: MIND's impressions, and Upworthy's tests of headlines."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column

BEHAVIORS, NEWS = "behaviors.tsv", "news.tsv"
_TIMES: Final = "%m/%d/%Y %I:%M:%S %p"
_BEHAVIORS: Final = {"impression": "1", "user": "2", "time": "3", "candidates": "5"}
_NEWS: Final = {"item": "1", "category": "2", "subcategory": "3", "title": "4", "abstract": "5"}

_TEST: Final = "clickability_test_id"
_COUNTED: Final = ("impressions", "clicks", "test_week")
_WORDS: Final = ("headline", "excerpt", "lede", "eyecatcher_id")
NOT_RANDOM: Final = (201325, 201402)
"""The first and last week in which headlines were probably not drawn at random, according to the
archive's update of June 2024."""


class MindReader(Reader):
    """A folder of MIND (Wu et al. 2020): ``behaviors.tsv`` and, if it is there, ``news.tsv``.

    An event for each click, with the impression's articles as candidates; an impression without a
    click is an event without an item. Positions are not known: MIND shuffles the impressions.

    The clicks of a user's history come first, in their order. MIND does not say when they were;
    they stand a millisecond before the first impression in the file, from which they are at least
    as far as that. Articles without a row in ``news.tsv`` have no text.
    """

    name = "mind"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a folder that holds ``behaviors.tsv``, or that file."""
        return _file(path).is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the impressions and the histories.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20; also where clicks are not marked, as
            in the test part of MIND.
        """
        file = _file(path)
        _check_names(columns, file)
        table = TableReader(_TIMES if self.times in ("auto", ("auto", False)) else self.times)
        opened = table.open(file)
        if len(opened.names) != 5:
            raise DataError(
                f"There are {len(opened.names)} columns where 5 are expected: impression, user, "
                "time, history and candidates, parted by tabs and without a header line.",
                file,
            )
        log = table.read_log(file, _BEHAVIORS)
        if not log.has(Column.ITEM):
            raise DataError(
                "No impression says what was clicked; expected is N1-1 for a click and N2-0 for "
                "none. The test part of MIND has no such marks: read the training or development "
                "part.",
                file,
            )
        rows, _ = opened.read(["2", "4"], Problems())
        names = {"2": Column.USER, "4": Column.ITEM}
        histories = (
            rows.drop_nulls()
            .rename(names)
            .unique(Column.USER, keep="first", maintain_order=True)
            .with_columns(pl.col(Column.ITEM).str.strip_chars().str.split(" "))
            .explode(Column.ITEM)
        )
        begin = log.events[Column.TIME].min()
        before = (pl.lit(begin) - pl.duration(milliseconds=1)).cast(log.events.schema[Column.TIME])
        earlier = histories.select(
            Column.USER, Column.ITEM, before.alias(Column.TIME), feedback=pl.lit("click")
        )
        clicks = log.events.with_columns(feedback=pl.lit("click"))
        return InteractionLog(pl.concat([earlier, clicks], how="diagonal"), place=log.place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the articles next to the impressions, where they are there."""
        file = _file(path).with_name(NEWS)
        _check_names(columns, file)
        if not file.is_file():
            return None
        found = TableReader().read_items(file, {**_NEWS, "entities": "7"})
        assert found is not None
        labels = [_labels(text) for text in found.rows["entities"].cast(pl.String)]
        named = pl.Series("entities", labels, pl.List(pl.String))
        return Catalog(found.rows.with_columns(named).drop(Column.TEXT), place=found.place)


class UpworthyReader(Reader):
    """The Upworthy Research Archive (Matias et al. 2021), as CSV or Parquet: tests of headlines.

    In a test several packages of headline, excerpt and picture are shown, each visitor seeing one
    of them drawn at random. The log has a row for each package: ``value`` is its click rate,
    ``count`` how often it was shown, ``propensity`` its share of the test's impressions, and
    ``candidates`` are the test's packages. A row stands for ``count`` rows of a logged bandit.

    Between the weeks 25 of 2013 and 2 of 2014 packages were probably not drawn at random: there the
    propensity is null, so that whoever needs it refuses these rows.
    """

    name = "upworthy"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the table has the archive's columns."""
        if not TableReader.recognises(path) or path.is_dir():
            return False
        if path.suffix == ".parquet":
            try:
                return {_TEST, *_COUNTED} <= pl.read_parquet_schema(path).keys()
            except pl.exceptions.PolarsError:  # the reader of tables says what is wrong with it
                return False
        with path.open("rb") as stream:
            head = stream.read(1000).partition(b"\n")[0].decode("utf-8", "replace")
        return {_TEST, *_COUNTED} <= {name.strip('" \r') for name in head.split(",")}

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the packages as an aggregated bandit.

        :param columns: must be empty, since the columns are fixed.
        :raises DataError: where counts or weeks are none.
        """
        _check_names(columns, path)
        rows, place = _packages(path)
        weeks = rows["test_week"].unique().drop_nulls().to_list()
        times = pl.lit(None, pl.Datetime("ms", "UTC"))
        if weeks:
            times = pl.col("test_week").replace_strict(
                weeks, [_monday(week) for week in weeks], return_dtype=pl.Datetime("ms", "UTC")
            )
        drawn = ~pl.col("test_week").is_between(*NOT_RANDOM)
        share = pl.col("impressions") / pl.col("impressions").sum().over(_TEST)
        events = rows.select(
            Column.ITEM,
            times.alias(Column.TIME),
            pl.lit("shown").alias(Column.FEEDBACK),
            (pl.col("clicks") / pl.col("impressions")).alias(Column.VALUE),
            pl.col("impressions").alias(Column.COUNT),
            pl.col(_TEST).alias(Column.IMPRESSION),
            pl.when(drawn).then(share).alias(Column.PROPENSITY),
            pl.col(Column.ITEM).implode().over(_TEST, mapping_strategy="join").alias("candidates"),
        )
        return InteractionLog(events, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the packages' words: headline, excerpt, lede, and the picture's id."""
        _check_names(columns, path)
        rows, place = _packages(path)
        words = [name for name in _WORDS[1:] if name in rows.columns]
        plain = pl.col(words).str.replace_all(r"<[^>]*>", " ").str.strip_chars()
        return Catalog(
            rows.select(Column.ITEM, pl.col("headline").alias(Column.TITLE), plain),
            place=place,
            types={name: "words" for name in words if name != "eyecatcher_id"},
        )


def _file(path: Path) -> Path:
    return path if path.name == BEHAVIORS else path / BEHAVIORS


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of these files are fixed and cannot be named.", path)


def _labels(text: str | None) -> list[str] | None:
    """Give the names of an article's entities; None where there are none, or not in JSON."""
    try:
        found = [entity["Label"] for entity in json.loads(text or "[]")]
    except (ValueError, KeyError, TypeError):
        return None
    return found or None


def _packages(path: Path) -> tuple[pl.DataFrame, Place]:
    """Read the rows of the archive, each named by its test and its number in it."""
    problems, table = Problems(path), TableReader().open(path)
    wanted = [n for n in (_TEST, *_COUNTED, *_WORDS) if n in table.names]
    if missing := {_TEST, *_COUNTED, "headline"} - {*wanted}:
        raise DataError(f"There is no column {', '.join(sorted(missing))}.", path)
    rows, place = table.read(wanted, problems)
    numbers = rows.with_columns(pl.col(*_COUNTED).cast(pl.Int64, strict=False))
    for name, least in (("impressions", 1), ("clicks", 0), ("test_week", 190_001)):
        bad = numbers[name].is_null() | (numbers[name] < least)
        wrong = partial(place.value, rows[name], expected=f"a number from {least}")
        problems.add_rows(bad, wrong)
    problems.check()
    number = pl.int_range(pl.len()).over(_TEST) + 1
    return numbers.with_columns(pl.format("{}-{}", _TEST, number).alias(Column.ITEM)), place


def _monday(week: int) -> date:
    """Give the Monday of a week of a year, such as 201303."""
    return date.fromisocalendar(week // 100, 1, 1) + timedelta(weeks=week % 100 - 1)
