"""Predictions of another recommender, and CSV that is safe to open in a spreadsheet."""

import sys
from pathlib import Path
from typing import Final

import polars as pl
from polars import selectors

from lightrec.data.casts import to_numbers, to_required_ids
from lightrec.data.parquet import ParquetTable
from lightrec.data.readers.columns import LOG_NAMES, match_columns
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Problems
from lightrec.keys import Column

SCORE: Final = "score"
RANK: Final = "rank"
_FINITE: Final = (-sys.float_info.max, sys.float_info.max, "a finite number")
_WHOLE: Final = (0, 2**63 - 1, "a whole number")
FORMULA: Final = r"^('*[=+\-@\t\r])"
ESCAPED: Final = r"^'('*[=+\-@\t\r])"


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
    value = SCORE if SCORE in table.names or RANK not in table.names else RANK
    required = [Column.USER, Column.ITEM, value]
    names = {name: LOG_NAMES.get(name, [value]) for name in required}
    matched = match_columns(table, names, None, required, problems)
    problems.check()
    extra = [Column.KNOWN_EVENTS] if Column.KNOWN_EVENTS in table.names else []
    frame, place = table.read([*(matched[name] for name in required), *extra], problems)
    if not frame.height:
        problems.add("There are no predictions.")
        problems.check()
    if not isinstance(table, ParquetTable):
        frame = unescaped(frame)
    columns = [frame[matched[name]] for name in required if matched[name] in frame.columns]
    if len(columns) < len(required):
        problems.check()
    users, items = (to_required_ids(ids, ids.name, place, problems) for ids in columns[:2])
    scores = to_numbers(columns[2], pl.Float64(), _FINITE, place, problems, required=True)
    result = pl.DataFrame({Column.USER: users, Column.ITEM: items, SCORE: scores})
    if Column.KNOWN_EVENTS in frame.columns:
        counts = to_numbers(
            frame[Column.KNOWN_EVENTS], pl.Int64(), _WHOLE, place, problems, required=True
        )
        result = result.with_columns(counts)
    first = result.select(pl.struct(Column.USER, Column.ITEM).is_first_distinct()).to_series()
    problems.add_rows(
        ~first & users.is_not_null() & items.is_not_null(),
        lambda row: f"{place.row(row)} lists a user and an item that an earlier row lists too.",
    )
    problems.check()
    return result if value == SCORE else result.with_columns(-pl.col(SCORE))


def escaped(table: pl.DataFrame) -> pl.DataFrame:
    """Escape the formulas in the text columns of a table; numbers stay as they are.

    A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
    return, and the words of a log may come from anybody. Such a cell gets an apostrophe in front,
    as OWASP recommends ("CSV Injection"); so does one with apostrophes before such a character, so
    that the original can be read back exactly.
    """
    return table.with_columns(selectors.string().str.replace(FORMULA, "'$1"))


def unescaped(table: pl.DataFrame) -> pl.DataFrame:
    """Restore a table as it was before :func:`escaped`."""
    return table.with_columns(selectors.string().str.replace(ESCAPED, "$1"))
