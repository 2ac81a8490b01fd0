"""Text files, delimited or of one JSON object a line; every fault is reported with its line."""

import codecs
import csv
import json
import mmap
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.readers.columns import looks_like_data
from lightrec.data.readers.text import is_utf8, open_text
from lightrec.data.schema import NAMED, Place, Problems, Table
from lightrec.errors import DataError

LONGEST_LINE: Final = 1 << 20


_SEPARATORS: Final = ("\t", "::", ";", "|", ",")
_UNIT: Final = "\x1f"
"""A letter that stands for a separator of several letters."""
_ROUNDED: Final = re.compile(rb"[:,\[]\s*(-?\d{16,}(?:\.\d+|[eE])[-+\deE]*)")
"""A number that JSON reads as a float, with more digits than a float holds."""
_DEPTH: Final = 50
"""Levels of lists and objects within each other; the parser's stack ends somewhere."""
_WORDS: Final = re.compile(rb'"(?:\\.|[^"\\])*"?|[^][{}"]')


class TextTable(Table):
    """A delimited text file, compressed or not: its columns, and the values of some of them.

    :param path: the file, in an encoding of :func:`lightrec.data.readers.text.open_text`.
    :param separator: None: the one of comma, tab, semicolon, bar and ``::`` that parts most lines
        into the same number of fields.
    :param quote: whether fields may be in double quotes; None: unless quotes stand between tabs,
        bars or ``::`` in a way that makes no fields.
    :param names: the columns of a file without a header line.
    :param header: whether the first line names the columns; None: unless it looks like data. The
        columns of a file without names are called ``1``, ``2`` and so on.
    :raises DataError: if the file is missing, not readable, empty or no such text.
    """

    def __init__(
        self,
        path: Path,
        separator: str | None = None,
        quote: bool | None = None,
        names: Sequence[str] | None = None,
        header: bool | None = None,
    ) -> None:
        self.path, self.names = path, list(names or ())
        text, encoding = open_text(path)
        self._begin = 3 if text[:3] == codecs.BOM_UTF8 else 0
        self._end = b"\n" if text.find(b"\n") >= 0 or text.find(b"\r") < 0 else b"\r"
        head = self._head(text)
        shown = separator or max(_SEPARATORS, key=lambda mark: _fit(head, mark))
        self._separator = shown if len(shown) == 1 else _UNIT
        if self._separator != shown:
            text = bytes(text).replace(shown.encode(), _UNIT.encode())
            head = self._head(text)
        self._text, self._stop = text, len(text)
        while self._stop > self._begin and text[self._stop - 1] in b"\r\n":
            self._stop -= 1
        self._first_line = 1
        # Where the text is not UTF-8, records of plain letters are good, and all others suspicious.
        self._unlikely = rb"\0" if is_utf8(text) else rb"\0\x80-\xff"
        if quote is None and shown in ("\t", "|", "::") and text.find(b'"') >= 0:
            quote = (
                self._with_quotes(head, names, True)._is_good()
                or not self._with_quotes(head, names, False)._is_good()
            )
        self._with_quotes(head, names, quote is not False and text.find(b'"') >= 0)
        self.headed = names is not None or not self._is_data
        if names is None and header is not False and (header or self.headed):
            self.names, self.headed = [], True
            self._read_header()
            self._good_record = self._pattern(len(self.names), self._unlikely, rb"\r")
        named = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
        parts = [f"text separated by {named.get(shown, shown)}", encoding]
        self.form = ", ".join(parts + ["no header line"] * (not self.headed))

    def _with_quotes(
        self, head: Sequence[str], names: Sequence[str] | None, quote: bool
    ) -> "TextTable":
        """Read fields with or without quotes from now on."""
        self._quote = quote
        self._first = rows = _rows(head, self._separator, quote)
        self._is_data = names is None and looks_like_data(rows)
        width = len(rows[0]) if rows else 0
        self.names = [str(number + 1) for number in range(width)] if names is None else list(names)
        # Records of the right form, but perhaps with other faults.
        self._any_record = self._pattern(None, b"", b"")
        self._good_record = self._pattern(len(self.names) or None, self._unlikely, rb"\r")
        return self

    def _is_good(self) -> bool:
        """Whether no record has a fault."""
        all_good = re.compile(b"(?:" + self._good_record.pattern + b")*+")
        return bool(all_good.fullmatch(self._text, self._begin, self._stop))

    def _head(self, text: bytes | mmap.mmap) -> list[str]:
        """The first lines, at most 200."""
        head = text[self._begin : self._begin + LONGEST_LINE]
        lines = head.decode("utf-8", "replace").split(self._end.decode())
        whole = lines[:-1] or lines  # the last one may be cut
        return [line.removesuffix("\r") + "\n" for line in whole[:200]]

    def shown(self) -> str:
        """List the columns, with their first values where they have no names."""
        if self.headed:
            return super().shown()
        return ", ".join(
            f"{n} ({value:.30})" for row in self._first[:1] for n, value in enumerate(row, 1)
        )

    def sample(self, name: str) -> list[str]:
        """The first values of a column, at most 200."""
        at = self.names.index(name)
        return [row[at] for row in self._first if len(row) > at and row[at].strip()]

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns as strings; an empty field is null.

        Empty lines at the end do not count.

        :param names: columns to read, out of ``names``.
        :param problems: receives a sentence for each faulty line; the other lines are read.
        :returns: the columns, and the place that names their rows.
        """
        if self._is_good():
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
        self._first = self._first[1:]
        self._begin += len(line)
        self._first_line += line.count(self._end)

    def _pattern(self, fields: int | None, never: bytes, unquoted: bytes) -> "re.Pattern[bytes]":
        """The pattern of a record that is not empty, with its line end.

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

    def _parse(self, text: bytes, names: Sequence[str]) -> pl.DataFrame:
        """Parse some columns of records without a fault."""
        positions = sorted({self.names.index(name) for name in names})
        chosen = [self.names[position] for position in positions]
        if not text:
            return pl.DataFrame(schema=dict.fromkeys(chosen, pl.String))
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
        return frame.rename(dict(zip(frame.columns, chosen, strict=True)))

    def _sift(self, problems: Problems) -> tuple[bytearray, "array[int]"]:
        """Go through the text record by record and describe each kind of fault.

        :returns: the records without a fault, and the line on which each begins.
        """
        good, lines = bytearray(), array("q")
        faults: dict[str, list[str]] = {}
        counts: Counter[str] = Counter()
        at, number = self._begin, self._first_line
        while at < self._stop:
            match = self._good_record.match(self._text, at, self._stop)
            text, fault = (match[0], "") if match else self._record_at(at)
            if fault:
                self.faults[f"Line {number}"] = f"Line {number}{fault}"
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
        """The record, or the line that is none, which begins at a byte.

        :returns: its bytes with the line end; and its fault as the rest of a sentence that begins
            with the line, empty if there is none.
        """
        line_end = self._text.find(self._end, at, self._stop) + 1 or self._stop
        match = self._any_record.match(self._text, at, self._stop)
        text = self._text[at : match.end() if match else line_end]
        if line_end - at > LONGEST_LINE:
            return text, (
                f" is longer than {LONGEST_LINE:,} bytes; this is no table, or a quote is never "
                "closed."
            )
        if not text.strip(b"\r\n"):
            return text, " is empty; delete it."
        if not match:
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


def _rows(lines: Sequence[str], separator: str, quote: bool) -> list[list[str]]:
    """Part lines into fields; blank ones are left out."""
    if quote:
        with suppress(csv.Error):
            return [row for row in csv.reader(lines, delimiter=separator) if row]
    return [line.rstrip("\r\n").split(separator) for line in lines if line.strip()]


def _fit(lines: Sequence[str], separator: str) -> tuple[bool, float, bool, int]:
    """Say how well a separator parts lines.

    :returns: whether all alike, the share of such, whether the first line is one, their fields.
    """
    mark = separator if len(separator) == 1 else _UNIT
    rows = _rows([line.replace(separator, mark) for line in lines], mark, True)
    counts = Counter(map(len, rows)).most_common(1)
    fields, times = counts[0] if counts else (0, 0)
    if fields < 2:
        return False, 0.0, False, 0
    # Commas also stand within words and numbers; bars also part lists, but not a line of names.
    alike, named = times == len(rows) and separator != ",", len(rows[0]) == fields
    return alike, round(times / len(rows), 1), named, fields


class JsonTable(Table):
    """A file of one JSON object a line, compressed or not: its columns and their values.

    :param skip: whether lines that are no JSON objects are left out.
    :raises DataError: if it is missing, not readable, or has lines that are no JSON objects.
    """

    def __init__(self, path: Path, skip: bool = False) -> None:
        self.path, self._number = path, (1).__add__
        text, encoding = open_text(path)
        self.form = f"JSON lines, {encoding}"
        if bytes(text[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
            raise DataError(
                "The file is one JSON list, and a line for each object is needed; write it so, for "
                "example with `jq -c '.[]' OLD > NEW.jsonl`.",
                path,
            )
        if skip:
            lines = _lines(bytes(text))
            good = [number for number, line in lines.items() if _is_object(line)]
            text, self._number = b"\n".join(lines[number] for number in good), good.__getitem__
            for name in (f"Line {number}" for number in lines.keys() - {*good}):
                self.faults[name] = f"{name} is no JSON object."
        deep = list[int]()
        for number, line in enumerate(bytes(text).split(b"\n"), 1):
            if line.count(b"[") + line.count(b"{") > _DEPTH:
                steps = (1 if mark in b"[{" else -1 for mark in _WORDS.sub(b"", line))
                deep += [number] if max(accumulate(steps), default=0) > _DEPTH else []
        self._refuse(deep, f"has values more than {_DEPTH} levels within each other.")
        try:
            self.rows: pl.DataFrame = pl.read_ndjson(bytes(text), infer_schema_length=None)
            """All columns as they are, objects too."""
        except pl.exceptions.PolarsError as error:
            bad = [number for number, line in _lines(bytes(text)).items() if not _is_object(line)]
            self._refuse(bad, 'is no JSON object, such as {"user": 1}.')
            first = str(error).splitlines()[0]
            raise DataError(f"The lines have no columns in common ({first}).", path) from None
        self.names = self.rows.columns
        long = self.rows.select(pl.col(pl.String).str.contains(r"^-?\d{16,}$").any())
        if any(map(any, long.iter_rows())) and (match := _ROUNDED.search(bytes(text))):
            raise DataError(
                f"Line {bytes(text[: match.start()]).count(10) + 1} has the number "
                f"{match[1].decode()} in a column of text: so long, and with a fraction, its last "
                "digits are lost. Write ids as text, in quotes.",
                path,
            )

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns with their types; an empty text is null.

        :param problems: receives a sentence for each column of objects, which is left out.
        """
        usable = []
        for name in dict.fromkeys(names):
            dtype = self.rows.schema[name]
            if isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Struct):
                problems.add(f"Column '{name}' holds objects, which have no place in a table.")
            else:
                usable.append(name)
        return self.rows.select(usable), Place(self.path, "Line", self._number)

    def _refuse(self, bad: Sequence[int], what: str) -> None:
        """Refuse the file where it has bad lines, saying what they are."""
        problems = Problems(self.path)
        problems.add_places([f"Line {number} {what}" for number in bad[:NAMED]], len(bad))
        problems.check()


def _lines(text: bytes) -> dict[int, bytes]:
    """The lines that are not blank by their numbers."""
    lines = enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
    return {number: line for number, line in lines if line.strip()}


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
