"""Readers of public logs of news: of MIND's impressions, and of those that are described."""

from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, DataError, InteractionLog

_TIMES: Final = "%m/%d/%Y %I:%M:%S %p"
_BEHAVIORS: Final = {"impression": "1", "user": "2", "time": "3", "candidates": "5"}
_NEWS: Final = {"item": "1", "category": "2", "subcategory": "3", "title": "4", "abstract": "5"}


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


class NewsSets(DescribedReader):
    """Published logs of news; ``sets.yaml`` describes them."""

    name = "news-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
