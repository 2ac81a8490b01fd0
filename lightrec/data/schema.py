"""The canonical schema of logs, and how any table is brought into it.

The schema's version stands in the metadata of every Parquet file that lightrec writes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.datatypes import DataTypeClass

from lightrec.errors import DataError
from lightrec.keys import Column

SCHEMA_VERSION: Final = 1
VERSION_KEY: Final = "lightrec.schema_version"
KIND_KEY: Final = "lightrec.table"

LOG_SCHEMA: Final[dict[str, pl.DataType]] = {
    Column.USER: pl.String(),
    Column.ITEM: pl.String(),
    Column.TIME: pl.Datetime("ms", "UTC"),
    Column.FEEDBACK: pl.String(),
    Column.VALUE: pl.Float64(),
    Column.COUNT: pl.Int64(),
    Column.SESSION: pl.String(),
    Column.IMPRESSION: pl.String(),
    Column.POSITION: pl.Int16(),
    Column.PROPENSITY: pl.Float64(),
    Column.CANDIDATES: pl.List(pl.String()),
}
"""All columns of a log. Every one is always there; all but ``feedback`` may be null."""

NUMBERS: Final = {Column.VALUE, Column.COUNT, Column.POSITION, Column.PROPENSITY}


@dataclass(frozen=True)
class Place:
    """Where a table comes from, so that messages can name the file and the line.

    :param source: the file, or None for a table made in memory.
    :param first_line: the line of the first row in a text file, or None where there are no lines.
    """

    source: Path | None = None
    first_line: int | None = None

    def row(self, index: int) -> str:
        """Name a row, counted from 0, the way a reader of the file would."""
        if self.first_line is None:
            return f"Row {index + 1}"
        return f"Line {index + self.first_line}"

    def error(self, problems: str | Sequence[str]) -> DataError:
        """The problems as an error that names the file."""
        return DataError(problems, self.source)


def row_problems(bad: pl.Series, sentence: Callable[[int], str]) -> list[str]:
    """One problem for each bad row; only those that can be shown are put into words.

    :param bad: which rows are bad; null counts as good.
    :param sentence: puts the problem of a row, counted from 0, into words.
    """
    rows = bad.fill_null(False).arg_true()
    shown = [sentence(row) for row in rows.head(DataError.SHOWN)]
    return [*shown, *[""] * (len(rows) - len(shown))]


def bad_values(bad: pl.Series, place: Place, raw: pl.Series, expected: str) -> list[str]:
    """A sentence for each bad value of a column.

    :param raw: the column as it was found.
    :param expected: what should stand there, such as ``"a number"``.
    """
    return row_problems(
        bad, lambda row: f"{place.row(row)}, column '{raw.name}': {raw[row]!r} is not {expected}."
    )


def cast_column(
    column: pl.Series, dtype: pl.DataType | DataTypeClass, place: Place, problems: list[str]
) -> pl.Series:
    """Cast a column, adding a sentence to ``problems`` for each value that cannot be cast."""
    if column.dtype == dtype:
        return column
    if column.dtype == pl.Categorical or column.dtype == pl.Enum:
        column = column.cast(pl.String)
    source = column.str.strip_chars() if column.dtype == pl.String else column
    try:
        cast = source.cast(dtype, strict=False)
        if dtype.is_integer() and column.dtype == pl.String:
            # "3.0" is an integer too.
            cast = cast.fill_null(_whole(source.cast(pl.Float64, strict=False), dtype))
    except pl.exceptions.PolarsError:
        problems.append(f"Column '{column.name}' has type {column.dtype}; expected {dtype}.")
        return pl.Series(column.name, [None] * len(column), dtype)
    bad = cast.is_null() & column.is_not_null()
    if bad.any():
        expected = "a whole number" if dtype.is_integer() else "a number"
        problems.extend(bad_values(bad, place, column, expected))
    return cast


def _whole(numbers: pl.Series, dtype: pl.DataType | DataTypeClass) -> pl.Series:
    whole = (numbers == numbers.floor()) & numbers.is_finite()
    return numbers.set(~whole.fill_null(False), None).cast(dtype, strict=False)


def read_metadata(path: Path, kind: str) -> None:
    """Check that a Parquet file is a table of this kind in a schema version that we read.

    :param kind: ``log``, ``catalog`` or ``users``.
    :raises DataError: where it is not.
    """
    try:
        metadata = pl.read_parquet_metadata(path)
    except FileNotFoundError:
        raise DataError("The file does not exist.", path) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"The file cannot be read as Parquet ({error}).", path) from None
    found = metadata.get(VERSION_KEY)
    if found is None or metadata.get(KIND_KEY) != kind:
        raise DataError(
            f"The file is no {kind} table written by lightrec; read it with the Parquet reader.",
            path,
        )
    if int(found) > SCHEMA_VERSION:
        raise DataError(
            f"The file has schema version {found}; this lightrec reads versions up to "
            f"{SCHEMA_VERSION}. Update lightrec.",
            path,
        )


def write_table(frame: pl.DataFrame, path: Path, kind: str) -> None:
    """Write a table with the schema's version in the file's metadata."""
    metadata: Mapping[str, str] = {VERSION_KEY: str(SCHEMA_VERSION), KIND_KEY: kind}
    frame.write_parquet(path, metadata=dict(metadata))
