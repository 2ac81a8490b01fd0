"""Text files with a header and one separator, read as strings with plain errors."""

import csv
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

import polars as pl

from lightrec.errors import DataError


def open_text(path: Path) -> IO[str]:
    """Open a UTF-8 text file, gzipped or not, skipping a byte-order mark.

    :raises DataError: where there is no such file.
    """
    opener = cast(Callable[..., IO[str]], gzip.open if path.suffix == ".gz" else open)
    try:
        return opener(path, "rt", encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise DataError("The file does not exist.", path) from None
    except IsADirectoryError:
        raise DataError("This is a folder, and a file is needed.", path) from None
    except PermissionError:
        raise DataError("The file may not be read; check its permissions.", path) from None


def read_header(path: Path, separator: str | None, quote: bool) -> tuple[list[str], str]:
    """The column names in the first line, and the separator.

    :param separator: None: the one of comma, tab, semicolon and bar that is there most often.
    :raises DataError: where the file is missing, empty or not text.
    """
    with open_text(path) as file:
        try:
            first = file.readline()
        except (UnicodeDecodeError, gzip.BadGzipFile):
            raise _not_utf8(path) from None
    if not first.strip():
        raise DataError("The file is empty; its first line must name the columns.", path)
    if separator is None:
        separator = max(",\t;|", key=first.count)
    line = first.rstrip("\r\n")
    if not quote:
        return line.split(separator), separator
    return next(csv.reader([line], delimiter=separator)), separator


def read_strings(path: Path, names: Sequence[str], separator: str, quote: bool) -> pl.DataFrame:
    """Read some columns of a delimited file as strings; an empty field is null.

    A line that ends early has null in the fields that are missing. Empty lines at the end do not
    count.

    :param names: columns to read, out of those of the header.
    :raises DataError: naming lines that have more fields than the header.
    """
    header, _ = read_header(path, separator, quote)
    positions = sorted({header.index(name) for name in names})
    try:
        frame = pl.read_csv(
            path,
            separator=separator,
            columns=positions,
            infer_schema=False,
            quote_char='"' if quote else None,
            low_memory=True,
        )
    except pl.exceptions.NoDataError:
        raise DataError("The file is empty.", path) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _explain(path, separator, quote, error) from None
    frame.columns = [header[position] for position in positions]
    return _without_trailing_blanks(frame)


def _without_trailing_blanks(frame: pl.DataFrame) -> pl.DataFrame:
    height = frame.height
    while height and all(value is None for value in frame.row(height - 1)):
        height -= 1
    return frame.head(height)


def _explain(path: Path, separator: str, quote: bool, error: Exception) -> DataError:
    """Find the lines that polars could not read; its message does not say which they are."""
    problems = []
    try:
        with open_text(path) as file:
            rows = csv.reader(
                file, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
            )
            expected = len(next(rows))
            for row in rows:
                if len(row) > expected:
                    problems.append(
                        f"Line {rows.line_num} has {len(row)} fields where the header has "
                        f"{expected}; if a field holds the separator {separator!r}, put it in "
                        "quotes."
                    )
    except UnicodeDecodeError:
        return _not_utf8(path)
    except csv.Error as wrong:
        problems.append(f"Line {rows.line_num} cannot be read: {wrong}.")
    return DataError(problems or f"The file cannot be read as delimited text: {error}.", path)


def _not_utf8(path: Path) -> DataError:
    return DataError("The file is not UTF-8 text; convert it, for example with iconv.", path)
