"""Delimited text files, read as strings; every fault is reported with its line."""

import csv
import gzip
import mmap
import re
import zlib
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from lightrec.data.files import check_file, describe_content
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError

LONGEST_LINE: Final = 1 << 20
_LONGEST_HEADER: Final = 1 << 16
_BLOCK: Final = 1 << 24
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# NUL bytes, a second kind of line end, and empty lines. Line breaks in quotes may look like the
# last two; then `_sift` decides.
_SUSPICIOUS: Final = {b"\n": rb"\0|\r(?!\n)|\n\r?\n", b"\r": rb"\0|\n|\r\r"}


class TextTable:
    """A delimited text file, gzipped or not: its columns, and the values of some of them.

    :param path: the file; UTF-8, with or without a byte-order mark.
    :param separator: one character; None: the one of comma, tab, semicolon and bar that is in the
        first line most often.
    :param quote: whether fields may be in double quotes.
    :param names: the columns of a file without a header line.
    :raises DataError: if the file is missing, not readable, empty or no such text.
    """

    def __init__(
        self,
        path: Path,
        separator: str | None = None,
        quote: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        self.path = path
        self._text = text = _open(path)
        self._begin = len(_BYTE_ORDER_MARK) if text[:3] == _BYTE_ORDER_MARK else 0
        self._end = b"\n" if text.find(b"\n") >= 0 or text.find(b"\r") < 0 else b"\r"
        self._first_line = 1
        if names is None:
            line = self._header(quote)
            separator = separator or max(",\t;|", key=line.count)
            names = self._split(line, separator) if quote else line.split(separator)
        self.names: list[str] = list(names)
        self._stop = len(text)
        while self._stop > self._begin and text[self._stop - 1] in b"\r\n":
            self._stop -= 1
        self._separator = (separator or ",").encode()
        self._quote = quote and text.find(b'"', self._begin) >= 0

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns as strings; an empty field is null.

        Empty lines at the end do not count.

        :param names: columns to read, out of ``names``.
        :param problems: receives a sentence for each faulty line; the other lines are read.
        :returns: the columns, and the place that names their rows.
        """
        whole = memoryview(self._text)[self._begin : self._stop]
        frame = self._parse(whole, names) if self._looks_clean(whole) else None
        if frame is not None:
            if not self._quote:
                return frame, Place(self.path, "Line", self._first_line.__add__)
            lines = cache(lambda: self._sift(Problems())[1])
            return frame, Place(self.path, "Line", lambda row: lines()[row])
        good, numbers = self._sift(problems)
        frame = self._parse(memoryview(good), names)
        if frame is None or frame.height != len(numbers):
            raise DataError("The file cannot be read as delimited text.", self.path)
        return frame, Place(self.path, "Line", numbers.__getitem__)

    def _header(self, quote: bool) -> str:
        """Read the first line, and let the text begin after it."""
        head = self._text[self._begin : self._begin + _LONGEST_HEADER + 1]
        line, found, _ = head.partition(self._end)
        while quote and found and line.count(b'"') % 2:
            more, found, _ = head[len(line) + 1 :].partition(self._end)
            line += self._end + more
        if len(line) > _LONGEST_HEADER:
            raise DataError(
                f"The first line has more than {_LONGEST_HEADER:,} bytes, so it does not name the "
                "columns of a table.",
                self.path,
            )
        try:
            text = line.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            raise DataError(f"Line 1: {_wrong_byte(line, error.start)}", self.path) from None
        if "\0" in text:
            raise DataError("Line 1 holds a NUL byte; the file is damaged or no text.", self.path)
        if not text.strip():
            what = "The first line is" if head.strip() else "The file is"
            raise DataError(f"{what} empty; the first line must name the columns.", self.path)
        self._begin = min(self._begin + len(line) + 1, len(self._text))
        self._first_line = 2 + line.count(self._end)
        return text

    def _split(self, line: str, separator: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=separator, strict=True))
        except csv.Error as error:
            raise DataError(f"Line 1 cannot be read: {error}.", self.path) from None

    def _looks_clean(self, whole: memoryview) -> bool:
        """Whether the text has none of the faults that pyarrow accepts."""
        suspicious = re.compile(_SUSPICIOUS[self._end])
        begins_empty = whole[:1] in (b"\r", b"\n")
        if begins_empty or suspicious.search(self._text, self._begin, self._stop):
            return False
        border = b"[" + re.escape(self._separator) + rb"\r\n]"
        outside = rb'[^"]*+'
        quoted = rb'"[^"]*+(?:""[^"]*+)*+"(?=' + border + rb"|\Z)"
        opening = b"(?<!" + border.replace(b"[", b"[^", 1) + b")"
        quotes = re.compile(b"(?:" + outside + opening + quoted + b")*+" + outside)
        if self._quote and not quotes.fullmatch(self._text, self._begin, self._stop):
            return False
        bounds = pa.py_buffer(np.array([0, len(whole)], np.int64))
        as_one = pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, pa.py_buffer(whole)])
        try:
            as_one.validate(full=True)  # that it is UTF-8
        except pa.ArrowInvalid:
            return False
        return True

    def _parse(self, text: memoryview, names: Sequence[str]) -> pl.DataFrame | None:
        """Parse some columns of a text without a header; None if a line has other fields."""
        positions = sorted({self.names.index(name) for name in names})
        found = [self.names[position] for position in positions]
        if not len(text):
            return pl.DataFrame(schema=dict.fromkeys(found, pl.String))
        columns = [str(position) for position in range(len(self.names))]
        wanted = [str(position) for position in positions]
        try:
            table = pa.csv.read_csv(
                pa.py_buffer(text),
                pa.csv.ReadOptions(
                    column_names=columns, block_size=_BLOCK, use_threads=pl.thread_pool_size() > 1
                ),
                pa.csv.ParseOptions(
                    delimiter=self._separator.decode(),
                    quote_char='"' if self._quote else False,
                    newlines_in_values=self._quote,
                    ignore_empty_lines=False,
                ),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except pa.ArrowInvalid:
            return None
        return pl.DataFrame([pl.Series(n, table[w]) for n, w in zip(found, wanted, strict=True)])

    def _sift(self, problems: Problems) -> tuple[bytearray, "array[int]"]:
        """Go through the text line by line and describe each fault.

        :returns: the records without a fault, and the line on which each begins.
        """
        good, lines = bytearray(), array("q")
        common: dict[str, list[str]] = {}
        record = self._record()
        at, number, empty = self._begin, self._first_line, 0
        while at < self._stop:
            found = record.match(self._text, at, self._stop)
            line_end = self._text.find(self._end, at, self._stop)
            line_end = self._stop if line_end < 0 else line_end
            stop = found.end() if found else line_end
            text = self._text[at:stop]
            if text in (b"", b"\r"):
                empty += 1
            else:
                if empty:
                    problems.add(_are_empty(number - empty, number - 1))
                    empty = 0
                kind, fault = self._fault(text, line_end - at, found is not None)
                if not fault:
                    good += text + self._end
                    lines.append(number)
                elif kind:
                    common.setdefault(kind, []).append(f"Line {number}{fault}")
                else:
                    problems.add(f"Line {number}{fault}")
            number += 1 + text.count(self._end)
            at = stop + 1
        # Many lines may have these faults for one reason: the first is reported, the rest counted.
        for first, *others in common.values():
            more = f" {len(others)} more lines have the same fault." if others else ""
            problems.add(first + more)
        return good, lines

    def _record(self) -> "re.Pattern[bytes]":
        """Return the pattern of one record, which may have line breaks in quotes."""
        if not self._quote:
            return re.compile(b"[^" + self._end + b"]*+")
        separator = re.escape(self._separator)
        # A quote that is never closed is followed for 64 KiB only.
        quoted = rb'"[^"]{0,65536}+(?:""[^"]{0,65536}+)*+"'
        field = b"(?:" + quoted + rb'|[^"' + separator + self._end + rb"]*+)"
        after = rb"\r?(?=" + self._end + rb"|\Z)"
        return re.compile(field + b"(?:" + separator + field + b")*+" + after)

    def _fault(self, text: bytes, length: int, is_record: bool) -> tuple[str, str]:
        """Describe the fault of a record.

        :param length: of its first line.
        :param is_record: whether its quotes are right.
        :returns: a word if all lines may have the fault, and the rest of a sentence that begins
            with the line; empty if there is none.
        """

        def outside(part: bytes) -> bytes:
            return re.sub(rb'"[^"]*"', b"", part) if self._quote else part

        if length > LONGEST_LINE:
            return "", (
                f" is longer than {LONGEST_LINE:,} bytes; this is no table, or a quote is never "
                "closed."
            )
        if not is_record:
            return "", (
                " has a quote that is not closed, or one inside a field; put the field in quotes "
                "and write each quote in it twice."
            )
        try:
            text.decode()
        except UnicodeDecodeError as error:
            place = outside(text[: error.start]).count(self._separator)
            column = self.names[min(place, len(self.names) - 1)]
            return "coding", f", column '{column}': {_wrong_byte(text, error.start)}"
        if b"\0" in text:
            return "zeros", (
                " holds a NUL byte, which no text has. The file is damaged or is no text."
            )
        plain = outside(text.removesuffix(b"\r"))
        if b"\r" in plain or b"\n" in plain:
            return "", " holds a second kind of line end; use the same one in all lines."
        expected, found = len(self.names), plain.count(self._separator) + 1
        if found == expected:
            return "", ""
        advice = (
            f"if a field holds the separator {self._separator.decode()!r}, put it in quotes"
            if found > expected
            else "every line needs all of them, empty where nothing is known"
        )
        fields = f"{found} field{'s' * (found != 1)}"
        return "", f" has {fields} where {expected} are expected; {advice}."


def _open(path: Path) -> bytes | mmap.mmap:
    """Return the bytes of a text file, mapped from disk unless it is compressed."""
    check_file(path)
    zipped = path.name.lower().endswith(".gz")
    other = describe_content(path, "gzip" if zipped else "text")
    if other is not None:
        raise DataError(other, path)
    if zipped:
        return _unzip(path)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _unzip(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return cast(Callable[[], bytes], file.read)()
    except EOFError:
        problem = "The gzip file ends too early; copy or download it again."
    except (OSError, zlib.error) as error:
        problem = f"The gzip file is damaged ({error}); copy or download it again."
    raise DataError(problem, path)


def _wrong_byte(line: bytes, at: int) -> str:
    return (
        f"the byte 0x{line[at]:02X} is not UTF-8 text. Convert the file, for example with "
        "`iconv -f latin1 -t utf-8 OLD > NEW`."
    )


def _are_empty(first: int, last: int) -> str:
    if first == last:
        return f"Line {first} is empty; delete it."
    return f"Lines {first} to {last} are empty; delete them."
