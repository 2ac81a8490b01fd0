"""The reader of tables with named columns (CSV and Parquet), and how columns are recognised."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import polars as pl

from lightrec.data.casts import TimeFormat, written_type
from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.parquet import ParquetTable
from lightrec.data.readers.base import NamedColumns, Reader, Tables
from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Place, Problems
from lightrec.keys import Column

_DATUM: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|\d{4}-\d\d-\d\d")

_words: Final = str.split

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
    :param problems: receives a sentence for each column that is missing or unknown.
    :returns: canonical name to file name.
    """
    can_be_named, given = given is not None, dict(given or {})
    has = ", ".join(f"'{name}'" for name in found) or "no columns"
    matched: dict[str, str] = {}
    for canonical, name in given.items():
        if canonical not in names:
            problems.add(f"'{canonical}' is none of the columns {', '.join(names)}.")
        elif name not in found:
            problems.add(f"There is no column '{name}' (named as {canonical}); there are {has}.")
        else:
            matched[canonical] = name
    taken = set(matched.values())
    plain = {_plain(name): name for name in reversed(found) if name not in taken}
    for canonical, aliases in names.items():
        if canonical in given:
            continue
        alias_found = next((plain[alias] for alias in aliases if alias in plain), None)
        if alias_found is not None:
            matched[canonical] = alias_found
        elif canonical in required and _looks_like_data(found):
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
                f"is{named if can_be_named else ''}."
            )
    return matched


def _looks_like_data(found: Sequence[str]) -> bool:
    """Whether most fields of the first line are numbers or dates."""
    data = sum(bool(_DATUM.match(name.strip())) for name in found)
    return data > len(found) / 2


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", name).lower()


TableKind = TypeVar("TableKind", Catalog, Users)
CLICKS: Final = ("click", "clicked")
"""Names of columns whose values (0 or 1) are clicks rather than ratings."""


class TableReader(Reader):
    """A log in one table with named columns: CSV or Parquet. Reads item and user tables too.

    Text files have a header and end in ``.csv`` or ``.tsv`` (or ``.csv.gz``, ``.tsv.gz``); Parquet
    files end in ``.parquet``.

    :param times: how the log's times are written; see ``lightrec.data.casts``.
    :param separator: of text files; None: the one of comma, tab, semicolon and bar that the header
        has most of.
    """

    name = "table"

    def __init__(self, times: TimeFormat = "auto", separator: str | None = None) -> None:
        super().__init__(times)
        self.separator = separator

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a file with one of these endings."""
        return path.is_file() and (_is_parquet(path) or _is_text(path))

    def open(self, path: Path) -> NamedColumns:
        """Open a file in any of the formats.

        :raises DataError: if it cannot be read.
        """
        return ParquetTable(path) if _is_parquet(path) else TextTable(path, self.separator)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log; in a log without users, other columns become attributes of the made-up users.

        If a made-up user has several rows, the first gives the attributes.

        :raises DataError: with all problems found, up to 20.
        """
        log = self.read_log(path, columns)
        names = [name for name in log.place.ignored if name]
        if log.has(Column.USER) or not names:
            return Tables(log)
        problems, table = Problems(path), self.open(path)
        frame, _ = _load(table, names, problems)
        contexts = _with_own_names({Column.USER: log.users()}, frame, USER_NAMES)
        users = Users(
            _typed(table, contexts.unique(Column.USER, keep="first", maintain_order=True))
        )
        ignored = tuple(name for name in log.place.ignored if name not in frame.columns)
        log.place = replace(log.place, ignored=ignored)
        return Tables(log, users=users)

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read a log; ``place.ignored`` of the log names the columns that were not used.

        :param columns: which column of the file holds which column of the log.
        :raises DataError: with all problems found, up to 20.
        """
        path = Path(path)
        problems = Problems(path)
        table = self.open(path)
        matched = _match(table, LOG_NAMES, columns or {}, Column.ITEM, problems)
        frame, place = _load(table, list(matched.values()), problems)
        # The values of columns that are missing or duplicated cannot be checked.
        if Column.ITEM not in matched or not frame.height:
            problems.check()
        frame = frame.select(
            pl.col(name).alias(column) for column, name in matched.items() if name in frame.columns
        ).cast({pl.Categorical: pl.String})
        if frame.schema.get(Column.CANDIDATES) == pl.String:
            frame = frame.with_columns(split_list(frame[Column.CANDIDATES]))
        if Column.FEEDBACK not in matched and matched.get(Column.VALUE, "").lower() in CLICKS:
            frame = frame.with_columns(pl.lit("click").alias(Column.FEEDBACK))
        ignored = tuple(name for name in table.names if name not in matched.values())
        with problems.taking():
            place = replace(place, names=matched, ignored=ignored)
            log = InteractionLog(frame, times=self.times, place=place)
        problems.check()
        return log

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read an item table; columns other than item, title and text become attributes.

        :param columns: which column of the file holds item, title and text.
        :raises DataError: with all problems found, up to 20.
        """
        return self._table(Catalog, Path(path), CATALOG_NAMES, columns)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read a user table; columns other than user become attributes.

        :param columns: which column of the file holds user.
        :raises DataError: with all problems found, up to 20.
        """
        return self._table(Users, Path(path), USER_NAMES, columns)

    def _table(
        self,
        kind: type[TableKind],
        path: Path,
        names: Mapping[str, Sequence[str]],
        columns: Mapping[str, str] | None,
    ) -> TableKind:
        problems = Problems(path)
        table = self.open(path)
        matched = _match(table, names, columns, kind.key, problems)
        frame, place = _load(table, table.names, problems)
        if kind.key not in matched or not frame.height:
            problems.check()
        found = {column: frame[name] for column, name in matched.items() if name in frame.columns}
        frame = _with_own_names(found, frame.drop(matched.values(), strict=False), names)
        with problems.taking():
            made = kind(_typed(table, frame), place=place)
        problems.check()
        return made


def _with_own_names(
    known: Mapping[str, pl.Series], others: pl.DataFrame, names: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Join attributes to known columns, and rename those that share a name with one."""
    taken = dict(known)
    for name in others.columns:
        free = name
        while free in names or free in taken:
            free += "_"
        taken[free] = others[name]
    return pl.DataFrame([series.alias(name) for name, series in taken.items()])


def _typed(table: NamedColumns, frame: pl.DataFrame) -> pl.DataFrame:
    """Convert the attributes of a text file to the types in which they are written."""
    if not isinstance(table, TextTable):
        return frame
    known = (Column.ITEM, Column.USER, Column.TITLE, Column.TEXT)
    return frame.with_columns(written_type(frame[n]) for n in frame.columns if n not in known)


def _match(
    table: NamedColumns,
    names: Mapping[str, Sequence[str]],
    columns: Mapping[str, str] | None,
    required: str,
    problems: Problems,
) -> dict[str, str]:
    """Find the canonical columns, and report duplicated names."""
    for name, times in Counter(table.names).items():
        if times > 1:
            problems.add(
                f"The column '{name}' is there {times} times; give each column a name of its own."
            )
    return match_columns(table.names, names, columns, [required], problems)


def _load(
    table: NamedColumns, names: Sequence[str], problems: Problems
) -> tuple[pl.DataFrame, Place]:
    with problems.taking():
        loaded = table.read(names or table.names[:1], problems)
        return loaded
    problems.check()
    raise AssertionError("an error was taken, so there is a problem")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _is_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def split_list(column: pl.Series) -> pl.Series:
    """Split strings into lists: at bars if any value has one, else at commas, else at blanks."""
    for mark in "|,":
        if column.str.contains(mark, literal=True).any():
            return column.str.split(mark)
    return column.str.strip_chars().str.split(" ")
