"""Readers of two public logs of news: MIND's impressions, and Upworthy's tests of headlines."""

from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, DataError, InteractionLog, Place

_TIMES: Final = "%m/%d/%Y %I:%M:%S %p"
_BEHAVIORS: Final = {"impression": "1", "user": "2", "time": "3", "candidates": "5"}
_NEWS: Final = {"item": "1", "category": "2", "subcategory": "3", "title": "4", "abstract": "5"}

_TEST: Final = "clickability_test_id"
_COUNTED: Final = {"impressions": 1, "clicks": 0, "test_week": 190_001}
"""Columns of whole numbers, and the smallest of each."""
_WORDS: Final = ("excerpt", "lede", "eyecatcher_id")
NOT_RANDOM: Final = (201325, 201402)
"""The first and last week in which headlines were probably not drawn at random, according to the
archive's update of June 2024."""


class MindReader(PublishedReader):
    """A folder of MIND (Wu et al. 2020): ``behaviors.tsv`` and, if it is there, ``news.tsv``.

    An event for each click, with the impression's articles as candidates; an impression without a
    click is an event without an item. Positions are not known: MIND shuffles the impressions.

    The clicks of a user's history come first, in their order. MIND does not say when they were;
    they stand a millisecond before the first impression in the file, from which they are at least
    as far as that. Articles without a row in ``news.tsv`` have no text.
    """

    name = "mind"
    file = "behaviors.tsv"

    def __init__(self, times: str = "auto") -> None:
        super().__init__(_TIMES if times == "auto" else times)

    def events(self, file: Path) -> InteractionLog:
        """Read the impressions and the histories.

        :raises DataError: also where clicks are not marked, as in the test part of MIND.
        """
        log = self.log(file, _BEHAVIORS)
        if not log.has(Column.ITEM):
            raise DataError(
                "No impression says what was clicked; expected is N1-1 for a click and N2-0 for "
                "none. The test part of MIND has no such marks: read the training or development "
                "part.",
                file,
            )
        first = log.events.select(pl.min(Column.TIME).dt.offset_by("-1ms")).item()
        rows, _ = self.table(file, {Column.USER: "2", Column.ITEM: "4"})
        rows = rows.drop_nulls().unique(Column.USER, keep="first", maintain_order=True)
        words = pl.col(Column.ITEM).str.strip_chars().str.split(" ")
        earlier = rows.with_columns(words, time=pl.lit(first, log.events.schema[Column.TIME]))
        earlier = earlier.explode(Column.ITEM)
        clicks = pl.concat([earlier, log.events.cast({pl.Categorical: pl.String})], how="diagonal")
        return InteractionLog(clicks.with_columns(feedback=pl.lit("click")), place=log.place)

    def items(self, file: Path) -> Catalog | None:
        """Read the articles next to the impressions, where they are there."""
        if (articles := self.beside(file, "news.tsv")) is None:
            return None
        rows, place = self.table(articles, _NEWS)
        return Catalog(rows, place=place)


class UpworthyReader(PublishedReader):
    """The Upworthy Research Archive (Matias et al. 2021), as CSV or Parquet: tests of headlines.

    In a test several packages of headline, excerpt and picture are shown, each visitor seeing one
    of them drawn at random. The log has a row for each package: ``value`` is its click rate,
    ``count`` how often it was shown, ``propensity`` its share of the test's impressions, and
    ``candidates`` are the test's packages. A row stands for ``count`` rows of a logged bandit.

    Between the weeks 25 of 2013 and 2 of 2014 packages were probably not drawn at random: there the
    propensity is null, so that whoever needs it refuses these rows.
    """

    name = "upworthy"
    known_by = frozenset({_TEST, *_COUNTED})

    def events(self, file: Path) -> InteractionLog:
        """Read the packages as an aggregated bandit.

        :raises DataError: where counts or weeks are none.
        """
        rows, place = self.packages(file)
        week = pl.col("test_week").cast(pl.String)
        # Week 1 of a year is the one with its fourth of January.
        begin = (week.str.head(4) + "-01-04").str.to_date()
        weeks = pl.duration(weeks=pl.col("test_week") % 100 - 1)
        monday = begin - pl.duration(days=begin.dt.weekday() - 1) + weeks
        shown = pl.col("impressions")
        share = shown / shown.sum().over(_TEST)
        drawn = ~pl.col("test_week").is_between(*NOT_RANDOM)
        events = rows.select(
            Column.ITEM,
            monday.cast(pl.Datetime("ms", "UTC")).alias(Column.TIME),
            pl.lit("shown").alias(Column.FEEDBACK),
            (pl.col("clicks") / shown).alias(Column.VALUE),
            shown.alias(Column.COUNT),
            pl.col(_TEST).alias(Column.IMPRESSION),
            pl.when(drawn).then(share).alias(Column.PROPENSITY),
            pl.col(Column.ITEM).implode().over(_TEST, mapping_strategy="join").alias("candidates"),
        )
        return InteractionLog(events, place=place)

    def items(self, file: Path) -> Catalog:
        """Read the packages' words: headline, excerpt, lede, and the picture's id."""
        rows, place = self.packages(file)
        words = [name for name in _WORDS if name in rows.columns]
        plain = pl.col(words).str.replace_all(r"<[^>]*>", " ").str.strip_chars()
        return Catalog(
            rows.select(Column.ITEM, pl.col("headline").alias(Column.TITLE), plain),
            place=place,
            types={name: "words" for name in words if name != "eyecatcher_id"},
        )

    def packages(self, file: Path) -> tuple[pl.DataFrame, Place]:
        """Read the rows of the archive, each named by its test and its number in it."""
        optional = [name for name in _WORDS if name in self.open(file).names]
        whole = {name: (low, 2**63 - 1, f"a number from {low}") for name, low in _COUNTED.items()}
        names = {name: name for name in (_TEST, *_COUNTED, "headline", *optional)}
        rows, place = self.table(file, names, whole)
        number = pl.int_range(pl.len()).over(_TEST) + 1
        named = pl.format("{}-{}", _TEST, number).alias(Column.ITEM)
        return rows.with_columns(named), place


class NewsSets(DescribedReader):
    """Published logs of news; ``sets.yaml`` describes them."""

    name = "news-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
