"""Delimited text files, read as strings; every fault is reported with its line."""

import codecs
import csv
import gzip
import mmap
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.files import check_content
from lightrec.data.schema import NAMED, Place, Problems
from lightrec.errors import DataError

LONGEST_LINE: Final = 1 << 20
_BLOCK: Final = 1 << 20


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
        self.path, self.names = path, list(names or ())
        self._text = text = _open(path)
        self._begin = 3 if text[:3] == codecs.BOM_UTF8 else 0
        self._stop = len(text)
        while self._stop > self._begin and text[self._stop - 1] in b"\r\n":
            self._stop -= 1
        self._end = b"\n" if text.find(b"\n") >= 0 or text.find(b"\r") < 0 else b"\r"
        head = text[self._begin : self._begin + LONGEST_LINE].partition(self._end)[0]
        self._separator = separator or max(",\t;|", key=head.decode("latin-1").count)
        self._quote = quote and text.find(b'"') >= 0
        self._first_line = 1
        # Records of the right form, but perhaps with other faults.
        self._any_record = self._pattern(None, b"", b"")
        if names is None:
            self._read_header()
        # Where the text is not UTF-8, records of plain letters are good, and all others suspicious.
        unlikely = rb"\0" if self._is_utf8() else rb"\0\x80-\xff"
        self._good_record = self._pattern(len(self.names), unlikely, rb"\r")

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns as strings; an empty field is null.

        Empty lines at the end do not count.

        :param names: columns to read, out of ``names``.
        :param problems: receives a sentence for each faulty line; the other lines are read.
        :returns: the columns, and the place that names their rows.
        """
        all_good = re.compile(b"(?:" + self._good_record.pattern + b")*+")
        if all_good.fullmatch(self._text, self._begin, self._stop):
            good = self._text[self._begin : self._stop]
            lines = cache(lambda: self._sift(Problems())[1])
            return self._parse(good, names), Place(self.path, "Line", lambda row: lines()[row])
        sifted, numbers = self._sift(problems)
        return self._parse(bytes(sifted), names), Place(self.path, "Line", numbers.__getitem__)

    def _read_header(self) -> None:
        """Read the names of the columns, and let the text begin after them."""
        if self._begin == self._stop:
            raise DataError("The file is empty; its first line must name the columns.", self.path)
        line, fault = self._record_at(self._begin)
        if fault:
            raise DataError(f"Line 1{fault}", self.path)
        text = line.decode().rstrip("\r\n")
        rows = csv.reader([text], delimiter=self._separator)
        self.names += next(rows) if self._quote else text.split(self._separator)
        self._begin += len(line)
        self._first_line += line.count(self._end)

    def _pattern(self, fields: int | None, never: bytes, unquoted: bytes) -> "re.Pattern[bytes]":
        """Return the pattern of a record that is not empty, with its line end.

        :param fields: how many it has; None for any number.
        :param never: bytes that no field may have.
        :param unquoted: bytes that only fields in quotes may have.
        """
        separator = re.escape(self._separator.encode())
        quote = b'"' if self._quote else b""
        field = b"[^" + separator + self._end + quote + never + unquoted + b"]*+"
        if self._quote:
            quoted = b'[^"' + never + b"]*+"
            field = b'(?:"' + quoted + b'(?:""' + quoted + b')*+"|' + field + b")"
        end = (rb"\r?" if self._end == b"\n" else b"") + b"(?:" + self._end + rb"|\Z)"
        other = separator + field
        others = b"(?:" + other + b")*+" if fields is None else other * (fields - 1)
        return re.compile(rb"(?=[^\r\n])" + field + others + end)

    def _is_utf8(self) -> bool:
        blocks = (self._text[at : at + _BLOCK] for at in range(self._begin, self._stop, _BLOCK))
        try:
            return all(block is not None for block in codecs.iterdecode(blocks, "utf-8"))
        except UnicodeDecodeError:
            return False

    def _parse(self, text: bytes, names: Sequence[str]) -> pl.DataFrame:
        """Parse some columns of records without a fault."""
        positions = sorted({self.names.index(name) for name in names})
        found = [self.names[position] for position in positions]
        if not text:
            return pl.DataFrame(schema=dict.fromkeys(found, pl.String))
        frame = pl.read_csv(
            text,
            has_header=False,
            columns=positions,
            separator=self._separator,
            quote_char='"' if self._quote else None,
            eol_char=self._end.decode(),
            infer_schema=False,
            null_values=[""],
        )
        return frame.rename(dict(zip(frame.columns, found, strict=True)))

    def _sift(self, problems: Problems) -> tuple[bytearray, "array[int]"]:
        """Go through the text record by record and describe each kind of fault.

        :returns: the records without a fault, and the line on which each begins.
        """
        good, lines = bytearray(), array("q")
        faults: dict[str, list[str]] = {}
        counts: Counter[str] = Counter()
        at, number = self._begin, self._first_line
        while at < self._stop:
            found = self._good_record.match(self._text, at, self._stop)
            text, fault = (found[0], "") if found else self._record_at(at)
            if fault:
                # All lines may need what a second sentence advises for the file: it is said once.
                kind = fault.partition(". ")[2] or fault
                counts[kind] += 1
                if counts[kind] <= NAMED:
                    faults.setdefault(kind, []).append(f"Line {number}{fault}")
            else:
                good += text
                lines.append(number)
            number += text.count(self._end)
            at += len(text)
        for kind, sentences in faults.items():
            problems.add_places(sentences, counts[kind])
        return good, lines

    def _record_at(self, at: int) -> tuple[bytes, str]:
        """Return the record, or the line that is none, which begins at a byte.

        :returns: its bytes with the line end; and its fault as the rest of a sentence that begins
            with the line, empty if there is none.
        """
        line_end = self._text.find(self._end, at, self._stop) + 1 or self._stop
        found = self._any_record.match(self._text, at, self._stop)
        text = self._text[at : found.end() if found else line_end]
        if line_end - at > LONGEST_LINE:
            return text, (
                f" is longer than {LONGEST_LINE:,} bytes; this is no table, or a quote is never "
                "closed."
            )
        if not text.strip(b"\r\n"):
            return text, " is empty; delete it."
        if not found:
            return text, (
                " has a quote that is not closed, or one inside a field; put the field in quotes "
                "and write each quote in it twice."
            )
        plain = self._unquoted(text.removesuffix(self._end).removesuffix(b"\r"))
        fields, expected = plain.count(self._separator) + 1, len(self.names)
        try:
            text.decode()
        except UnicodeDecodeError as error:
            field = self._unquoted(text[: error.start]).count(self._separator)
            column = f", column '{self.names[min(field, expected - 1)]}'" if expected else ""
            return text, (
                f"{column}: the byte 0x{text[error.start]:02X} is not UTF-8 text. Convert the "
                "file, for example with `iconv -f latin1 -t utf-8 OLD > NEW`."
            )
        if b"\0" in text:
            return text, " holds a NUL byte, which no text has. The file is damaged or is no text."
        if "\r" in plain or "\n" in plain:
            return text, " holds a second kind of line end; use the same one in all lines."
        if fields == expected or not expected:
            return text, ""
        advice = (
            f"if a field holds the separator {self._separator!r}, put it in quotes"
            if fields > expected
            else "every line needs all of them, empty where nothing is known"
        )
        plural = "s" * (fields != 1)
        return text, f" has {fields} field{plural} where {expected} are expected; {advice}."

    def _unquoted(self, text: bytes) -> str:
        return (re.sub(rb'"[^"]*"', b"", text) if self._quote else text).decode("latin-1")


def _open(path: Path) -> bytes | mmap.mmap:
    """Return the bytes of a text file, mapped from disk unless it is compressed."""
    zipped = path.name.lower().endswith(".gz")
    check_content(path, "gzip" if zipped else "text")
    if not zipped:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return gzip.decompress(path.read_bytes())
    except EOFError:
        problem = "The gzip file ends too early; copy or download it again."
    except (OSError, zlib.error) as error:
        problem = f"The gzip file is damaged ({error}); copy or download it again."
    raise DataError(problem, path)
