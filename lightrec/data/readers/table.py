"""The reader of tables with named columns: text, JSON lines and Parquet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import polars as pl

from lightrec import plugins
from lightrec.data.catalog import Catalog, Users
from lightrec.data.domain import NEGATIVE, plain
from lightrec.data.files import located
from lightrec.data.log import InteractionLog
from lightrec.data.parquet import ParquetTable
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.columns import (
    CATALOG_NAMES,
    LOG_NAMES,
    USER_NAMES,
    likely_columns,
    looks_like_kinds,
    match_columns,
)
from lightrec.data.readers.delimited import JsonTable, TextTable
from lightrec.data.readers.text import COMPRESSED, open_text
from lightrec.data.schema import NAMED, WORDED, Place, Problems, Table
from lightrec.data.times import looks_like_times
from lightrec.data.types import in_brackets
from lightrec.errors import DataError
from lightrec.keys import Column

TableKind = TypeVar("TableKind", Catalog, Users)

CLICKS: Final = ("click", "clicked")
"""Names of columns whose values (0 or 1) are clicks rather than ratings."""
_GRADES: Final = ("value", "rating", "score", "stars", "overall", "preference", "bewertung", "note")
"""Names of columns whose 0 may be a grade, even where every value is 0 or 1."""

_member: Final = pl.element()
_TEXT: Final = (".csv", ".tsv", ".txt", ".dat")
_JSON: Final = (".jsonl", ".ndjson", ".json")
_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings of what is a table wherever it lies."""
_OFFERS: Final = (Column.SESSION, Column.IMPRESSION, Column.PROPENSITY, Column.CANDIDATES)
"""Columns that may stand for a user: nobody is missed in a log that has one of these."""

_UNUSED: Final = (
    (Column.TIME, "times", looks_like_times),
    (Column.FEEDBACK, "kinds of events", looks_like_kinds),
)
"""Columns that are reported where they are not recognised, by what they seem to hold."""


class TableReader(Reader):
    """A log in one table: delimited text, JSON lines or Parquet; item and user tables too.

    Text files end in ``.csv``, ``.tsv``, ``.txt`` or ``.dat``, files of one JSON object a line in
    ``.jsonl``, ``.ndjson`` or ``.json``, perhaps with ``.gz`` or ``.zst`` behind. Parquet is a file
    that ends in ``.parquet``, or a folder of such files.

    :param times: how the log's times are written; see ``lightrec.data.times``.
    """

    name = "table"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a file with one of these endings, or a folder of Parquet files alone.

        A folder with other logs in it, in text or canonical ones, is none.
        """
        if path.is_dir():
            files = [file.relative_to(path) for file in path.rglob("*")]
            texts = any(_ending(file) in _TABLES for file in files)
            logs = any(f.name == "log.parquet" and "=" not in str(f.parent) for f in files)
            return not texts and not logs and any(file.suffix == ".parquet" for file in files)
        return path.is_file() and _ending(path) in (*_TEXT, *_JSON, ".parquet")

    @classmethod
    def sample(cls, folder: Path) -> Path:
        """Write three events, on which `lightrec plugins check` tries the reader."""
        file = folder / "log.csv"
        file.write_text(
            "user,item,time\nann,tea,2024-01-01\nann,rope,2024-01-02\nbob,tea,2024-01-03\n"
        )
        return file

    def open(self, path: Path) -> Table:
        """Open a table in any of the formats."""
        if _ending(path) == ".parquet" or path.is_dir():
            return ParquetTable(path)
        skip = self.skip is not None
        return JsonTable(path, skip) if _ending(path) in _JSON else TextTable(path)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log; without users in a log, other columns describe synthetic users.

        If a synthetic user has several rows, the first gives the attributes.
        """
        log = self.read_log(path, columns)
        names = [name for name in log.place.ignored if name]
        if log.has(Column.USER) or not names:
            return Tables(log)
        frame, _ = self.open(path).read(names, Problems(path))
        if frame.height != len(log):  # a row of the file has become several events
            return Tables(log)
        contexts = _with_own_names({Column.USER: log.users()}, frame, USER_NAMES)
        first = contexts.unique(Column.USER, keep="first", maintain_order=True)
        ignored = tuple(name for name in log.place.ignored if name not in frame.columns)
        log.place = replace(log.place, ignored=ignored)
        return Tables(log, users=Users(first))

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read a log; ``place.ignored`` of the log names the columns that were not used."""
        problems, table = Problems(path), self.open(path)
        wanted = {c: n for c, n in (columns or {}).items() if n.lower() not in ("none", "null")}
        names = {c: n for c, n in LOG_NAMES.items() if c in wanted or c not in (columns or {})}
        needed = [] if Column.CANDIDATES in wanted else [Column.ITEM]
        matched = self._match(table, names, wanted, needed, problems)
        broken = problems if self.skip is None else Problems(path)
        table.repeating = [matched[name] for name in WORDED if name in matched]
        frame, place = table.read(list(matched.values()) or table.names[:1], broken)
        # The values of columns that are missing or duplicated cannot be checked.
        if not matched or not frame.height or (needed and Column.ITEM not in matched):
            problems.check()
        frame = frame.select(
            pl.col(name).alias(column) for column, name in matched.items() if name in frame.columns
        )
        categories = pl.selectors.categorical() - pl.selectors.by_name(*WORDED, require_all=False)
        frame = frame.cast({categories: pl.String})
        if frame.schema.get(Column.CANDIDATES) == pl.String:
            frame = frame.with_columns(_split_list(frame[Column.CANDIDATES]))
        frame = _with_impressions(frame, matched.get(Column.VALUE, "").lower())
        report = problems.add if self.skip is None else plugins.warn
        frame, place = _with_clicks(_with_returns(frame, report), place)
        ignored = tuple(name for name in table.names if name not in matched.values())
        for role, what, looks_so in _UNUSED:
            for name in ignored if role in names and role not in matched else ():
                if (values := table.sample(name)) and looks_so(values):
                    plugins.warn(
                        f"The column '{name}' of {table.path} holds {what} and is not used: if they"
                        f" are the events' own, say --columns '{{{role}: {_quoted(name)}}}'."
                    )
        place = replace(place, names=matched, ignored=ignored, form=table.form)
        with problems.raising():
            return self.checked(frame, place, path, table.faults)

    def checked(
        self, events: pl.DataFrame, place: Place, path: Path, faults: Mapping[str, str]
    ) -> InteractionLog:
        """Make events a log; where ``skip`` says so, without those that cannot be used.

        :param faults: what is wrong with lines that were not read, by what they are called.
        """
        skip = self.skip is not None
        log = InteractionLog(events, times=self.times, place=place, skip=skip)
        if self.skip is not None:
            _write_broken(self.skip, path, {**faults, **log.skipped}, len(log))
        return log

    def _match(
        self,
        table: Table,
        names: Mapping[str, Sequence[str]],
        named: Mapping[str, str],
        required: Sequence[str],
        problems: Problems,
    ) -> dict[str, str]:
        """Match columns, and say by their values which may be those that were not recognised."""
        in_log = Column.TIME in names
        option = "--columns" if in_log else f"--{required[0]}-columns"

        def likely(matched: Mapping[str, str]) -> str:
            rows = table.read(table.names, Problems())[0].head(20_000)
            guess = likely_columns(rows, matched, names)
            if guess == matched:
                return f"Rename the one that it is, or say {option} '{{{required[0]}: NAME}}'."
            pairs = ", ".join(f"{column}: {_quoted(name)}" for column, name in guess.items())
            begin = "" if table.headed else "No line names the columns, so give their positions. "
            return f"{begin}By their values the most likely is {option} '{{{pairs}}}'."

        matched = match_columns(table, names, named, required, problems, likely)
        roles = [*matched.values()] if in_log else []
        for name in {name for name in roles if roles.count(name) > 1}:
            two = " and ".join(column for column, origin in matched.items() if origin == name)
            problems.add(
                f"The column '{name}' is named as {two}; give each a column of its own, or say "
                f"{option} '{{{two.split()[0]}: none}}'."
            )
        offers = {Column.USER, *_OFFERS} & {*matched}
        if in_log and Column.USER in names and Column.ITEM in matched and not (offers or problems):
            sentence = likely(matched)
            if f"{Column.USER}: " in sentence:
                problems.add(
                    f"No column was recognised as user; there are {table.shown()}. {sentence} "
                    f"Where the log names no users, say {option} '{{user: none}}'."
                )
        return matched

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read an item table; columns other than item, title and text become attributes."""
        return self._table(Catalog, located(path), columns or {})

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read a user table; columns other than user become attributes."""
        return self._table(Users, located(path), columns or {})

    def _table(
        self, kind: type[TableKind], path: Path, columns: Mapping[str, str]
    ) -> TableKind | None:
        names = {**dict.fromkeys(columns, ()), **(CATALOG_NAMES if kind is Catalog else USER_NAMES)}
        problems, table = Problems(path), self.open(path)
        matched: dict[str, str] = self._match(table, names, columns, [kind.key], problems)
        # Columns without names are attributes only where they are given one.
        frame, place = table.read(table.names if table.headed else [*matched.values()], problems)
        if kind.key not in matched or not frame.height:
            problems.check()
        recognised = {
            column: frame[name] for column, name in matched.items() if name in frame.columns
        }
        frame = _with_own_names(recognised, frame.drop(matched.values(), strict=False), names)
        with problems.raising():
            return kind(frame, place=place)


def _write_broken(out: Path, path: Path, broken: Mapping[str, str], good: int) -> None:
    """Write lines that are left out to a file, with what is wrong, and say how many there are.

    :param broken: sentences by what lines are called.
    :param good: how many others there are.
    :raises DataError: where they are more than the others.
    """
    from lightrec.data.readers.predictions import escaped  # which reads tables itself

    out.unlink(missing_ok=True)
    if not broken:
        return
    some = f"{len(broken):,} of {len(broken) + good:,} lines cannot be used"
    if len(broken) > good:
        raise DataError([f"{some}, too many to leave out.", *[*broken.values()][:NAMED]], path)
    numbers = pl.Series([int(name.split()[1]) for name in broken])
    is_text = path.is_file() and _ending(path) in (*_TEXT, *_JSON)
    lines = bytes(open_text(path)[0]).decode("utf-8", "replace").splitlines() if is_text else []
    text = [lines[number - 1] if number <= len(lines) else "" for number in numbers]
    table = pl.DataFrame({"line": numbers, "why": [*broken.values()], "text": text}).sort("line")
    escaped(table).write_csv(out)
    plugins.warn(f"{some}, and {'is' if len(broken) == 1 else 'are'} left out: {out} has them.")


def _with_own_names(
    columns: Mapping[str, pl.Series], others: pl.DataFrame, names: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Join attributes to columns, and rename those that share a name with one."""
    taken = dict(columns)
    for attribute in others:
        free = attribute.name
        while free in names or free in taken:
            free += "_"
        taken[free] = attribute
    return pl.DataFrame([series.alias(name) for name, series in taken.items()])


def _split_list(column: pl.Series) -> pl.Series:
    """Split strings into lists: at bars if any value has one, else at commas, else at blanks.

    Brackets around a list, quotes around its members, and blanks around both are left out.
    """
    text = column.str.strip_chars()
    if text.drop_nulls().str.contains(r"(?s)^[\[({].*[\])}]$").all():
        lists = in_brackets(text)
        if lists.null_count() == text.null_count():
            return lists
        text = text.str.slice(1, text.str.len_chars() - 2).str.strip_chars()
    if text.drop_nulls().str.contains(r"""(?s)^('.*'|".*"|)$""").all():
        quoted = text.str.extract_all(r"""'[^']*'|"[^"]*["]""")
        return quoted.list.eval(_member.str.slice(1).str.head(-1))
    mark = next((mark for mark in "|," if text.str.contains(mark, literal=True).any()), " ")
    return text.str.split(mark).list.eval(_member.str.strip_chars())


def _ending(path: Path) -> str:
    """The ending of a file's name without that of its compression."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name.suffix.lower()


def _quoted(name: str) -> str:
    """Write a name in a mapping of YAML."""
    return name if name.replace(" ", "").replace("_", "").isalnum() else f'"{name}"'


def _with_impressions(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Tell apart what happened and what was only shown, where 0 and 1 say so.

    With propensities or candidates every row is a decision, and its value is the reward.

    :param name: the file's name of the value, in lower case.
    """
    column = frame.get_column(Column.VALUE, default=pl.Series(dtype=pl.Null))
    is_plain = column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean)
    if not is_plain or Column.FEEDBACK in frame.columns:
        return frame
    values, clicks = column.cast(pl.Float64, strict=False), name in CLICKS
    shown = (values == 0).fill_null(False)
    decided = not {Column.PROPENSITY, Column.CANDIDATES}.isdisjoint(frame.columns)
    if decided or not shown.any() or not ((values == 0) | (values == 1)).all():
        return frame.with_columns(pl.lit("click").alias(Column.FEEDBACK)) if clicks else frame
    if name in _GRADES:
        plugins.warn(
            f"Every value of '{name}' is 0 or 1, and the {int(shown.sum()):,} rows of 0 are events "
            "too. If they say that nothing was chosen or liked, leave them out with "
            "--data.minimum_value 1."
        )
        return frame
    kind = pl.when(shown).then(pl.lit("impression")).otherwise(pl.lit("click" if clicks else None))
    return frame.with_columns(kind.alias(Column.FEEDBACK))


def _with_returns(frame: pl.DataFrame, report: Callable[[str], None]) -> pl.DataFrame:
    """Turn negative counts into returns, which are a kind of feedback.

    Where the log names the kinds, such counts are those of returns, and refused of other kinds.

    :param report: what takes a sentence about those of other kinds.
    """
    kinds = frame.get_column(Column.FEEDBACK, default=None)
    wordless = kinds is not None and kinds.dtype not in (pl.String, pl.Categorical)
    if wordless or Column.COUNT not in frame.columns:
        return frame
    counts = frame[Column.COUNT].cast(pl.Int64, strict=False)
    below = (counts < 0).fill_null(False)
    if not below.any():
        return frame
    if kinds is None:
        kinds = below.replace_strict({True: "return", False: "count"})
    returns = [kind for kind in kinds.drop_nulls().unique() if plain(kind) in NEGATIVE]
    back = below & kinds.is_in(returns).fill_null(False)
    others = kinds.filter(below & ~back).fill_null("no kind")
    if len(others):
        first = others.value_counts(sort=True).head(NAMED).iter_rows()
        report(
            "Negative counts are those of what was returned or cancelled, and the kind of "
            f"{len(others):,} does not say so ({', '.join(f'{n:,} {kind}' for kind, n in first)}). "
            "Correct them, or read no counts: --columns '{count: none}'."
        )
    number = pl.when(back).then(-counts).otherwise(pl.col(Column.COUNT))
    return frame.with_columns(kinds.alias(Column.FEEDBACK), number.alias(Column.COUNT))


def _with_clicks(frame: pl.DataFrame, place: Place) -> tuple[pl.DataFrame, Place]:
    """Take the clicks from marks behind candidates (``N1-1 N2-0``): an event for each, or one."""
    lists = frame.get_column(Column.CANDIDATES, default=None)
    if Column.ITEM in frame.columns or lists is None or lists.dtype != pl.List(pl.String):
        return frame, place
    if not lists.explode().drop_nulls().str.contains(r".-[01]$").all():
        return frame, place
    chosen = lists.list.eval(_member.filter(_member.str.ends_with("-1")).str.head(-2))
    # Some versions of polars leave out a row whose list is empty, and none that of a null.
    chosen = chosen.to_frame().select(pl.when(pl.all().list.len() > 0).then(pl.all())).to_series()
    rows = frame.with_columns(
        lists.list.eval(_member.str.head(-2)),
        chosen.alias(Column.ITEM),
        pl.lit("click").alias(Column.FEEDBACK),
    ).with_row_index("row")
    rows = rows.explode(Column.ITEM)
    return rows.drop("row"), place.within(rows["row"])
