"""The reader of Jester's files (Goldberg et al. 2001): what people think of jokes."""

import re
from html import unescape
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.api import Catalog, Column, InteractionLog, TextTable
from lightrec.data.schema import Table
from lightrec_formats.published import PublishedReader

RATINGS, JOKES = "jester_ratings.dat", "jester_items.dat"
_MATRIX: Final = re.compile(r"jester-data-\d\.csv|jesterfinal151cols\.csv")
_UNRATED: Final = 99
_JOKE: Final = re.compile(r"^(\d+):\s*$(.*?)(?=^\d+:\s*$|\Z)", re.DOTALL | re.MULTILINE)


class JesterReader(PublishedReader):
    """Jester as it was published: ratings from -10 to 10 of 100 or 150 jokes.

    - Data set 2: ``jester_ratings.dat``, or its folder, with ``jester_items.dat`` beside.
    - Data sets 1 and 3: ``jester-data-1.csv`` to ``-3.csv`` and ``jesterfinal151cols.csv``, saved
      as CSV by a spreadsheet: a row for each person, with the number of ratings before them, and
      99 where there is none. People are called by their rows, from 1.

    There are no times. Catalog: item, text.
    """

    name = "jester"
    file = RATINGS

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this is one of the above."""
        file = cls.located(path)
        return file.is_file() and (file.name == RATINGS or _MATRIX.fullmatch(file.name) is not None)

    def open(self, path: Path) -> Table:
        """Open the ratings, which have no line of names."""
        if path.name != RATINGS:
            return TextTable(path, header=False)
        return TextTable(path, "\t\t", quote=False, names=(Column.USER, Column.ITEM, Column.VALUE))

    def events(self, file: Path) -> InteractionLog:
        """Read the ratings."""
        if file.name == RATINGS:
            return self.log(file)
        names = self.open(file).names
        jokes = {str(joke): name for joke, name in enumerate(names[1:], 1)}
        rows, place = self.table(file, jokes)
        rated = (
            rows.with_row_index("row")
            .unpivot(index="row", variable_name=Column.ITEM, value_name=Column.VALUE)
            .drop_nulls(Column.VALUE)
            .filter(pl.col(Column.VALUE).cast(pl.Float64, strict=False).fill_null(0) != _UNRATED)
            .sort("row", maintain_order=True)
        )
        events = rated.with_columns((pl.col("row") + 1).cast(pl.String).alias(Column.USER))
        return InteractionLog(events.drop("row"), place=place.within(rated["row"]))

    def items(self, file: Path) -> Catalog | None:
        """Read the jokes, without their marks, where they are beside the ratings."""
        if (jokes := self.beside(file, JOKES)) is None:
            return None
        text = jokes.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
        said = {
            joke: " ".join(unescape(re.sub(r"<[^>]*>", " ", words)).split())
            for joke, words in _JOKE.findall(text)
        }
        return Catalog(pl.DataFrame({Column.ITEM: [*said], Column.TEXT: [*said.values()]}))
