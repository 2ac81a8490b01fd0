"""Text files with one separator, read as strings with plain errors."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl

from lightrec.data.files import check_file, describe_content
from lightrec.data.problems import Problems
from lightrec.data.readers.scan import Layout, clean_records
from lightrec.data.readers.sieve import Sieve
from lightrec.data.schema import Place
from lightrec.errors import DataError

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_HEADER: Final = 1 << 16
_HEAD: Final = 1 << 20


class TextTable:
    """A delimited text file, gzipped or not: its columns, and the values of some of them.

    :param path: the file; UTF-8, with or without a byte-order mark.
    :param separator: one character; None: the one of comma, tab, semicolon and bar that is in the
        first line most often.
    :param quote: whether fields may stand in double quotes.
    :param names: the columns of a file without a header line.
    :raises DataError: where the file is missing, may not be read, is empty or is no such text.
    """

    def __init__(
        self,
        path: Path,
        separator: str | None = None,
        quote: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        self.path = path
        check_file(path)
        zipped = path.name.lower().endswith(".gz")
        other = describe_content(path, "gzip" if zipped else "text")
        if other is not None:
            raise DataError(other, path)
        self._content = _unzip(path) if zipped else None
        self._has_header = names is None
        with self._open() as file:
            head = file.read(_HEAD)
        end = b"\n" if b"\n" in head or b"\r" not in head else b"\r"
        if names is None:
            line = self._first_line(head, end, quote)
            separator = separator or max(",\t;|", key=line.count)
            names = self._split(line, separator) if quote else line.split(separator)
        self.names: list[str] = list(names)
        self._layout = Layout(self.names, (separator or ",").encode(), end, quote)

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Some columns as strings; an empty field is null.

        Empty lines at the end do not count.

        :param names: columns to read, out of ``names``.
        :param problems: gets a sentence for each line that has a fault; the lines without one are
            read.
        :returns: the columns, and how their rows are named.
        """
        with self._open() as file:
            records = clean_records(file, self._layout)
        if records is None:
            return self._read_good_lines(names, problems)
        skipped = int(self._has_header)
        count = records.count - skipped
        source = self.path if self._content is None else self._content
        frame = self._parse(source, names, self._has_header, count)
        if len(self.names) == 1:
            frame = _without_empty_end(frame)
        return frame, Place(self.path, line_of=lambda row: records.line(row + skipped))

    def _read_good_lines(
        self, names: Sequence[str], problems: Problems
    ) -> tuple[pl.DataFrame, Place]:
        sieve = Sieve(self._layout, problems)
        with self._open() as file:
            sieve.sift(file)
        lines = sieve.lines
        header = self._has_header and bool(lines) and lines[0] == 1
        frame = self._parse(bytes(sieve.good), names, header, len(lines) - header)
        return frame, Place(self.path, line_of=lambda row: lines[row + header])

    def _open(self) -> BinaryIO:
        """The text's bytes, behind the byte-order mark."""
        file: BinaryIO
        file = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
            file.seek(0)
        return file

    def _first_line(self, head: bytes, end: bytes, quote: bool) -> str:
        line, found, _ = head.partition(end)
        while quote and found and line.count(b'"') % 2:
            more, found, _ = head[len(line) + 1 :].partition(end)
            line += end + more
        if len(line) > _LONGEST_HEADER:
            raise DataError(
                f"The first line has more than {_LONGEST_HEADER:,} bytes, so it does not name the "
                "columns of a table.",
                self.path,
            )
        try:
            text = line.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Line 1: the byte 0x{line[error.start]:02X} is not UTF-8 text. Convert the file, "
                "for example with `iconv -f latin1 -t utf-8 OLD > NEW`.",
                self.path,
            ) from None
        if "\0" in text:
            raise DataError("Line 1 holds a NUL byte; the file is damaged or no text.", self.path)
        if not text.strip():
            what = "The first line is" if head.strip() else "The file is"
            raise DataError(f"{what} empty; the first line must name the columns.", self.path)
        return text

    def _split(self, line: str, separator: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error as error:
            raise DataError(f"Line 1 cannot be read: {error}.", self.path) from None

    def _parse(
        self, source: Path | bytes, names: Sequence[str], header: bool, count: int
    ) -> pl.DataFrame:
        """Some columns of a well-formed text of so many records."""
        positions = sorted({self.names.index(name) for name in names})
        found = [self.names[position] for position in positions]
        if not count:
            return pl.DataFrame(schema={name: pl.String for name in found})
        try:
            frame = pl.read_csv(
                source,
                has_header=header,
                separator=self._layout.separator.decode(),
                eol_char=self._layout.end.decode(),
                columns=positions,
                infer_schema=False,
                quote_char='"' if self._layout.quote else None,
                low_memory=True,
                glob=False,
            )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(str(error).partition("\n")[0]) from None
        if frame.height < count and len(self.names) > 1:
            raise self._unreadable(f"{frame.height} rows instead of {count}")
        frame.columns = found
        # What follows are empty lines.
        return frame.head(count)

    def _unreadable(self, reason: str) -> DataError:
        return DataError(f"The file cannot be read as delimited text ({reason}).", self.path)


def _unzip(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return cast(Callable[[], bytes], file.read)()
    except EOFError:
        problem = "The gzip file ends too early; copy or download it again."
    except (OSError, zlib.error) as error:
        problem = f"The gzip file is damaged ({error}); copy or download it again."
    raise DataError(problem, path)


def _without_empty_end(frame: pl.DataFrame) -> pl.DataFrame:
    height = frame.height
    while height and frame.row(height - 1) == (None,):
        height -= 1
    return frame.head(height)
