"""The reader of tables with named columns (CSV and Parquet), and how columns are recognised."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.parquet import ParquetTable
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Problems
from lightrec.keys import Column

_DATUM: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|\d{4}-\d\d-\d\d")

_MARKS: Final = re.compile(r"[\s_.\-]")

_words: Final = str.split

TableKind = TypeVar("TableKind", Catalog, Users)
_USER: Final = _words(
    "user userid uid customer customerid visitor visitorid member memberid account accountid "
    "reviewer reviewerid person personid"
)
_ITEM: Final = _words(
    "item itemid iid movie movieid product productid sku asin parentasin article articleid news "
    "newsid song songid track trackid artist artistid book bookid video videoid content contentid "
    "recipe recipeid ticker"
)

LOG_NAMES: Final[dict[str, Sequence[str]]] = {
    Column.USER: _USER,
    Column.ITEM: _ITEM,
    Column.TIME: _words("time timestamp timestampms ts datetime date eventtime createdat"),
    Column.FEEDBACK: _words("feedback event eventtype action behavior behaviour interaction"),
    Column.VALUE: _words("value rating score stars overall preference label click clicked"),
    Column.COUNT: _words("count plays playcount listens quantity"),
    Column.SESSION: _words("session sessionid"),
    Column.IMPRESSION: _words("impression impressionid"),
    Column.POSITION: _words("position slot rank"),
    Column.PROPENSITY: _words("propensity propensityscore pscore"),
    Column.CANDIDATES: _words("candidates candidateset"),
}
"""Names by which each column of a log is recognised, in order of preference. Case, blanks,
underscores, hyphens and dots do not count: ``userId``, ``user_id`` and ``User ID`` are one name."""

CATALOG_NAMES: Final[dict[str, Sequence[str]]] = {
    Column.ITEM: [*_ITEM, "id"],
    Column.TITLE: _words(
        "title name movietitle itemtitle itemname producttitle productname headline"
    ),
    Column.TEXT: ["text"],
}
"""Names of the columns of an item table; all others are attributes."""

USER_NAMES: Final[dict[str, Sequence[str]]] = {Column.USER: [*_USER, "id"]}
"""Names of the columns of a user table; all others are attributes."""


CLICKS: Final = ("click", "clicked")
"""Names of columns whose values (0 or 1) are clicks rather than ratings."""


def match_columns(
    found: Sequence[str],
    names: Mapping[str, Sequence[str]],
    given: Mapping[str, str] | None,
    required: Sequence[str],
    problems: Problems,
) -> dict[str, str]:
    """Find the file's column for each canonical column.

    :param found: the file's columns.
    :param names: ``LOG_NAMES``, ``CATALOG_NAMES`` or ``USER_NAMES``.
    :param given: canonical name to file name, used before recognition; None if the columns of the
        file cannot be named.
    :param required: canonical columns that must be there.
    :param problems: receives a sentence for each column that is missing, unknown or there twice.
    :returns: canonical name to file name.
    """
    has = ", ".join(f"'{name}'" for name in found) or "no columns"
    for name, times in Counter(found).items():
        if times > 1:
            problems.add(
                f"The column '{name}' is there {times} times; give each column a name of its own."
            )
    matched: dict[str, str] = {}
    for canonical, name in (given or {}).items():
        if canonical not in names:
            problems.add(f"'{canonical}' is none of the columns {', '.join(names)}.")
        elif name not in found:
            problems.add(f"There is no column '{name}' (named as {canonical}); there are {has}.")
        else:
            matched[canonical] = name
    like_data = sum(bool(_DATUM.match(name.strip())) for name in found) > len(found) / 2
    taken = set(matched.values())
    plain = {_MARKS.sub("", name).lower(): name for name in reversed(found) if name not in taken}
    for canonical in [name for name in names if name not in (given or {})]:
        known = next((plain[alias] for alias in names[canonical] if alias in plain), None)
        if known is not None:
            matched[canonical] = known
        elif canonical in required and like_data:
            problems.add(
                f"The first line ({', '.join(found)}) looks like data; the file needs a first line "
                "that names the columns, such as user,item,time."
            )
        elif canonical in required:
            free = next((name for name in found if name not in matched.values()), "…")
            example = f"{{{canonical}: {free}}}"
            named = f", or name it in the setting columns, for example {example}"
            problems.add(
                f"No column was recognised as {canonical}; there are {has}. Rename the one that it "
                f"is{'' if given is None else named}."
            )
    return matched


class TableReader(Reader):
    """A log in one table with named columns: CSV or Parquet. Reads item and user tables too.

    Text files have a header and end in ``.csv`` or ``.tsv`` (or ``.csv.gz``, ``.tsv.gz``); their
    separator is the one that the header has most of. Parquet files end in ``.parquet``.

    :param times: how the log's times are written; see ``lightrec.data.times``.
    """

    name = "table"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a file with one of these endings."""
        endings = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
        return path.is_file() and path.name.lower().endswith(endings)

    def open(self, path: Path) -> TextTable | ParquetTable:
        """Open a file in any of the formats."""
        if path.suffix.lower() == ".parquet":
            return ParquetTable(path)
        return TextTable(path)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log; in a log without users, other columns become attributes of the made-up users.

        If a made-up user has several rows, the first gives the attributes.
        """
        log = self.read_log(path, columns)
        names = [name for name in log.place.ignored if name]
        if log.has(Column.USER) or not names:
            return Tables(log)
        table = self.open(path)
        frame, _ = table.read(names, Problems(path))
        contexts = _with_own_names({Column.USER: log.users()}, frame, USER_NAMES)
        first = contexts.unique(Column.USER, keep="first", maintain_order=True)
        ignored = tuple(name for name in log.place.ignored if name not in frame.columns)
        log.place = replace(log.place, ignored=ignored)
        return Tables(log, users=Users(first))

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read a log; ``place.ignored`` of the log names the columns that were not used."""
        problems, table = Problems(path), self.open(Path(path))
        matched = match_columns(table.names, LOG_NAMES, columns or {}, [Column.ITEM], problems)
        frame, place = table.read(list(matched.values()) or table.names[:1], problems)
        # The values of columns that are missing or duplicated cannot be checked.
        if Column.ITEM not in matched or not frame.height:
            problems.check()
        frame = frame.select(
            pl.col(name).alias(column) for column, name in matched.items() if name in frame.columns
        ).cast({pl.Categorical: pl.String})
        if frame.schema.get(Column.CANDIDATES) == pl.String:
            frame = frame.with_columns(_split_list(frame[Column.CANDIDATES]))
        if Column.FEEDBACK not in matched and matched.get(Column.VALUE, "").lower() in CLICKS:
            frame = frame.with_columns(pl.lit("click").alias(Column.FEEDBACK))
        ignored = tuple(name for name in table.names if name not in matched.values())
        with problems.raising():
            place = replace(place, names=matched, ignored=ignored)
            return InteractionLog(frame, times=self.times, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read an item table; columns other than item, title and text become attributes."""
        return self._table(Catalog, Path(path), columns or {})

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read a user table; columns other than user become attributes."""
        return self._table(Users, Path(path), columns or {})

    def _table(
        self, kind: type[TableKind], path: Path, columns: Mapping[str, str]
    ) -> TableKind | None:
        names = {**dict.fromkeys(columns, ()), **(CATALOG_NAMES if kind is Catalog else USER_NAMES)}
        problems, table = Problems(path), self.open(path)
        matched = match_columns(table.names, names, columns, [kind.key], problems)
        frame, place = table.read(table.names, problems)
        if kind.key not in matched or not frame.height:
            problems.check()
        found = {column: frame[name] for column, name in matched.items() if name in frame.columns}
        frame = _with_own_names(found, frame.drop(matched.values(), strict=False), names)
        with problems.raising():
            return kind(frame, place=place)


def _with_own_names(
    known: Mapping[str, pl.Series], others: pl.DataFrame, names: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Join attributes to known columns, and rename those that share a name with one."""
    taken = dict(known)
    for attribute in others:
        free = attribute.name
        while free in names or free in taken:
            free += "_"
        taken[free] = attribute
    return pl.DataFrame([series.alias(name) for name, series in taken.items()])


def _split_list(column: pl.Series) -> pl.Series:
    """Split strings into lists: at bars if any value has one, else at commas, else at blanks."""
    for mark in "|,":
        if column.str.contains(mark, literal=True).any():
            return column.str.split(mark)
    return column.str.strip_chars().str.split(" ")
