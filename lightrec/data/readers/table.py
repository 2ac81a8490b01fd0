"""The reader of single tables with named columns: CSV and Parquet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.columns import CATALOG_NAMES, LOG_NAMES, USER_NAMES, match_columns
from lightrec.data.readers.delimited import read_header, read_strings
from lightrec.data.schema import Place
from lightrec.data.times import TimeFormat
from lightrec.errors import DataError
from lightrec.keys import Column

CLICKS: Final = ("click", "clicked")
"""Names of columns whose values, 0 or 1, are clicks and no ratings."""


class TableReader(Reader):
    """A log in one table with named columns: CSV or Parquet. Reads item and user tables too.

    Text files have a header and end in ``.csv`` or ``.tsv`` (or ``.csv.gz``, ``.tsv.gz``); Parquet
    files end in ``.parquet``.

    :param times: how the log's times are written; see ``lightrec.data.times``.
    :param separator: of text files; None: the one of comma, tab, semicolon and bar that the header
        has most of.
    """

    name = "table"

    def __init__(self, times: TimeFormat = "auto", separator: str | None = None) -> None:
        super().__init__(times)
        self.separator = separator

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Files whose name ends as the class says."""
        return path.is_file() and (_is_parquet(path) or _is_text(path))

    def names(self, path: Path) -> list[str]:
        """The columns of a file."""
        if not _is_parquet(path):
            return read_header(path, self.separator, quote=True)[0]
        try:
            return list(pl.read_parquet_schema(path))
        except FileNotFoundError:
            raise DataError("The file does not exist.", path) from None
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"The file cannot be read as Parquet: {error}.", path) from None

    def load(self, path: Path, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of a file: as strings from text, with their own types from Parquet."""
        if _is_parquet(path):
            return pl.read_parquet(path, columns=list(dict.fromkeys(names)))
        separator = read_header(path, self.separator, quote=True)[1]
        return read_strings(path, names, separator, quote=True)

    def place(self, path: Path) -> Place:
        """How to name the rows of a file: those of text begin on line 2, below the header."""
        return Place(path, first_line=None if _is_parquet(path) else 2)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log; columns that have no place in a log are left out and named in ``ignored``.

        :param columns: which column of the file holds which column of the log.
        :raises DataError: with all problems found, up to 20.
        """
        path = Path(path)
        found, matched = self._match(path, LOG_NAMES, columns, Column.ITEM)
        frame = self.load(path, list(matched.values()))
        frame = frame.select(pl.col(name).alias(column) for column, name in matched.items())
        if frame.schema.get(Column.CANDIDATES) == pl.String:
            frame = frame.with_columns(split_list(frame[Column.CANDIDATES]))
        if Column.FEEDBACK not in matched and matched.get(Column.VALUE, "").lower() in CLICKS:
            frame = frame.with_columns(pl.lit("click").alias(Column.FEEDBACK))
        ignored = tuple(name for name in found if name not in matched.values())
        return Tables(
            InteractionLog(frame, times=self.times, place=self.place(path)), ignored=ignored
        )

    def read_catalog(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read an item table; columns other than item, title and text become attributes."""
        path = Path(path)
        frame = self._with_attributes(path, CATALOG_NAMES, columns, Column.ITEM)
        return Catalog(frame, place=self.place(path))

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users:
        """Read a user table; columns other than user become attributes."""
        path = Path(path)
        frame = self._with_attributes(path, USER_NAMES, columns, Column.USER)
        return Users(frame, place=self.place(path))

    def _match(
        self,
        path: Path,
        names: Mapping[str, Sequence[str]],
        columns: Mapping[str, str] | None,
        required: str,
    ) -> tuple[list[str], dict[str, str]]:
        """The file's columns, and which of them is which canonical column."""
        found = self.names(path)
        problems = [
            f"The column '{name}' is there {times} times; give each column a name of its own."
            for name, times in Counter(found).items()
            if times > 1
        ]
        matched = match_columns(found, names, columns, [required], problems)
        if problems:
            raise DataError(problems, path)
        return found, matched

    def _with_attributes(
        self,
        path: Path,
        names: Mapping[str, Sequence[str]],
        columns: Mapping[str, str] | None,
        key: str,
    ) -> pl.DataFrame:
        found, matched = self._match(path, names, columns, key)
        others = [name for name in found if name not in matched.values()]
        return self.load(path, found).select(
            *(pl.col(name).alias(column) for column, name in matched.items()),
            # An attribute may not take the name of a column that came from elsewhere.
            *(pl.col(name).alias(f"{name}_" if name in matched else name) for name in others),
        )


def read_catalog(path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
    """Read an item table from CSV or Parquet.

    :param columns: which column of the file holds item, title and text.
    :raises DataError: with all problems found, up to 20.
    """
    return TableReader().read_catalog(path, columns)


def read_users(path: Path, columns: Mapping[str, str] | None = None) -> Users:
    """Read a user table from CSV or Parquet.

    :param columns: which column of the file holds user.
    :raises DataError: with all problems found, up to 20.
    """
    return TableReader().read_users(path, columns)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _is_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def split_list(column: pl.Series) -> pl.Series:
    """Split strings into lists: at bars where any value has one, else at commas, else at blanks."""
    for mark in "|,":
        if column.str.contains(mark, literal=True).any():
            return column.str.split(mark)
    return column.str.strip_chars().str.split(" ")
