"""The reader of predictions by another recommender, and CSV that is safe to open in a spreadsheet.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
return, and the words of a log may come from anybody. Such a cell gets an apostrophe in front, as
OWASP recommends ("CSV Injection"); so does one with apostrophes before such a character, so that
the original can be read back exactly.
"""

from pathlib import Path
from typing import Final

import polars as pl
from polars import selectors

from lightrec.data.casts import to_ids
from lightrec.data.parquet import ParquetTable
from lightrec.data.readers.table import LOG_NAMES, TableReader, match_columns
from lightrec.data.schema import Place, Problems
from lightrec.keys import Column

SCORE: Final = "score"
RANK: Final = "rank"
KNOWN: Final = "known_events"
"""Column with the number of the user's events from which the list was made."""


def read_predictions(path: Path) -> pl.DataFrame:
    """Read predictions from CSV or Parquet, including those of ``lightrec recommend --all``.

    :param path: a table with ``user``, ``item`` and ``score`` (higher is better) or ``rank`` (1 is
        best).
    :returns: ``user`` and ``item`` (str, each pair once), ``score`` (float64, finite) and, if the
        file has it, ``known_events`` (int64).
    :raises DataError: with all problems found, up to 20.
    """
    problems = Problems(path)
    table = TableReader().open(path)
    names = {Column.USER: LOG_NAMES[Column.USER], Column.ITEM: LOG_NAMES[Column.ITEM]}
    value = SCORE if SCORE in table.names or RANK not in table.names else RANK
    required = [Column.USER, Column.ITEM, value]
    matched = match_columns(table.names, {**names, value: [value]}, None, required, problems)
    problems.check()
    extra = [KNOWN] if KNOWN in table.names else []
    frame, place = table.read([*(matched[name] for name in required), *extra], problems)
    if not frame.height:
        problems.add("There are no predictions.")
        problems.check()
    if not isinstance(table, ParquetTable):
        frame = unescaped(frame)
    found = [frame[matched[name]] for name in required if matched[name] in frame.columns]
    if len(found) < len(required):
        problems.check()
    ids = [_ids(column, place, problems) for column in found[:2]]
    scores = _finite(found[2], place, problems)
    result = pl.DataFrame([ids[0].alias(Column.USER), ids[1].alias(Column.ITEM), scores])
    if KNOWN in frame.columns:
        result = result.with_columns(_whole(frame[KNOWN], place, problems))
    first = result.select(pl.struct(Column.USER, Column.ITEM).is_first_distinct()).to_series()
    problems.add_rows(
        ~first & ids[0].is_not_null() & ids[1].is_not_null(),
        lambda row: f"{place.row(row)} lists a user and an item that an earlier row lists too.",
    )
    problems.check()
    return result if value == SCORE else result.with_columns(-pl.col(SCORE))


def _ids(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    ids = to_ids(column, place, problems)
    problems.add_rows(
        ids.is_null() & (column.is_null() | (column.dtype == pl.String)),
        lambda row: f"{place.row(row)} has no {column.name}.",
    )
    return ids


def _whole(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    numbers = column.cast(pl.Int64, strict=False)
    problems.add_rows(
        (numbers < 0).fill_null(True), lambda row: place.value(column, row, "a whole number")
    )
    return numbers.alias(KNOWN)


def _finite(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Null)):
        problems.add(f"Column '{column.name}' has type {column.dtype}; expected numbers.")
        return pl.Series(SCORE, [0.0]).new_from_index(0, len(column))
    text = column.str.strip_chars() if column.dtype == pl.String else column
    numbers = text.cast(pl.Float64, strict=False)
    bad = ~numbers.is_finite().fill_null(False)
    problems.add_rows(bad, lambda row: place.value(column, row, "a finite number"))
    return numbers.alias(SCORE)


FORMULA: Final = r"^('*[=+\-@\t\r])"
ESCAPED: Final = r"^'('*[=+\-@\t\r])"


def escaped(table: pl.DataFrame) -> pl.DataFrame:
    """Escape the formulas in the text columns of a table; numbers stay as they are."""
    return table.with_columns(selectors.string().str.replace(FORMULA, "'$1"))


def unescaped(table: pl.DataFrame) -> pl.DataFrame:
    """Restore a table as it was before :func:`escaped`."""
    return table.with_columns(selectors.string().str.replace(ESCAPED, "$1"))
