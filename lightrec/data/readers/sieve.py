"""A slow look at a delimited text that has faults: each is put into words, other lines are kept."""

import re
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from lightrec.data.problems import Problems
from lightrec.data.readers.scan import CHUNK, Layout

LONGEST_LINE: Final = 1 << 20
_LONGEST_RECORD: Final = 1 << 16
"""How far a quote that is never closed is followed."""
_TOO_LONG: Final = b"\0too long"


class Sieve:
    """A slow look at a text that has faults.

    :param layout: how the text is meant to be laid out.
    :param problems: gets a sentence for each fault.
    """

    def __init__(self, layout: Layout, problems: Problems) -> None:
        self.layout, self.problems = layout, problems
        self.good = bytearray()
        """The lines without a fault."""
        self.lines: array[int] = array("q")
        """The line on which each record of ``good`` begins."""
        separator = re.escape(layout.separator)
        one = rb'(?:"(?:[^"]|"")*+"|[^"' + separator + rb"]*+)"
        self._record: Final = re.compile(one + rb"(?:" + separator + one + rb")*+")
        self._tallies: dict[str, tuple[str, int]] = {}

    def sift(self, stream: BinaryIO) -> None:
        """Go through the whole text."""
        lines = _Lines(stream, self.layout.end)
        empty = 0
        for number, line in lines:
            if not line:
                # Told of later, since at the end they do not count.
                empty += 1
                continue
            if empty:
                self.problems.add(_are_empty(number - empty, number - 1))
                empty = 0
            if line is _TOO_LONG:
                self.problems.add(
                    f"Line {number} is longer than {LONGEST_LINE:,} bytes; this is no table, "
                    "or a quote is never closed."
                )
                continue
            self._take(number, line, lines)
        for sentence, count in self._tallies.values():
            others = f" {count - 1} more lines have the same fault." if count > 1 else ""
            self.problems.add(sentence + others)

    def _take(self, number: int, line: bytes, lines: "_Lines") -> None:
        quoted = self.layout.quote and b'"' in line
        if quoted and not self._record.fullmatch(line):
            joined = self._join(line, lines)
            if joined is None:
                self.problems.add(
                    f"Line {number} has a quote that is not closed, or one inside a field; put the "
                    "field in quotes and write each quote in it twice."
                )
                return
            line = joined
        if self._is_good(number, line):
            self.good += line + self.layout.end
            self.lines.append(number)

    def _join(self, line: bytes, lines: "_Lines") -> bytes | None:
        """The record that begins with a line and goes on below, or None where there is none."""
        pieces, size, quotes = [line], len(line), line.count(b'"')
        while quotes % 2 and size <= _LONGEST_RECORD:
            piece = lines.peek(len(pieces) - 1)
            if piece is None or piece is _TOO_LONG:
                return None
            pieces.append(piece)
            size, quotes = size + len(piece) + 1, quotes + piece.count(b'"')
        record = self.layout.end.join(pieces)
        if len(pieces) == 1 or not self._record.fullmatch(record):
            return None
        lines.skip(len(pieces) - 1)
        return record

    def _is_good(self, number: int, line: bytes) -> bool:
        try:
            line.decode()
        except UnicodeDecodeError as error:
            at = error.start
            self._tally("coding", lambda: self._wrong_byte(number, line, at))
            return False
        if b"\0" in line:
            self._tally(
                "zeros",
                lambda: (
                    f"Line {number} holds a NUL byte, which no text has. The file is damaged or is "
                    "no text."
                ),
            )
            return False
        outside = self.layout.outside_quotes(line)
        if b"\r" in outside or b"\n" in outside:
            self.problems.add(
                f"Line {number} holds a second kind of line end; use the same one in all lines."
            )
            return False
        return self._fields_fit(number, outside.count(self.layout.separator) + 1)

    def _tally(self, kind: str, sentence: Callable[[], str]) -> None:
        """Tell of the first line of a kind, since what ails one ails many; count the others."""
        first, count = self._tallies.get(kind) or (sentence(), 0)
        self._tallies[kind] = first, count + 1

    def _fields_fit(self, number: int, found: int) -> bool:
        expected = len(self.layout.header)
        if found == expected:
            return True
        mark = self.layout.separator.decode()
        advice = (
            f"if a field holds the separator {mark!r}, put it in quotes"
            if found > expected
            else "every line needs all of them, empty where nothing is known"
        )
        self.problems.add(
            f"Line {number} has {found} field{'s' * (found != 1)} where {expected} are expected; "
            f"{advice}."
        )
        return False

    def _wrong_byte(self, number: int, line: bytes, at: int) -> str:
        before = self.layout.outside_quotes(line[:at]).count(self.layout.separator)
        column = self.layout.header[min(before, len(self.layout.header) - 1)]
        return (
            f"Line {number}, column '{column}': the byte 0x{line[at]:02X} is not UTF-8 text. "
            "Convert the file, for example with `iconv -f latin1 -t utf-8 OLD > NEW`."
        )


def _are_empty(first: int, last: int) -> str:
    if first == last:
        return f"Line {first} is empty; delete it."
    return f"Lines {first} to {last} are empty; delete them."


class _Lines:
    """The lines of a stream with their numbers; it can look ahead, and never holds a huge line."""

    def __init__(self, stream: BinaryIO, end: bytes) -> None:
        self._source = _split(stream, end)
        self._ahead: deque[bytes] = deque()
        self._number = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while True:
            line = self._ahead.popleft() if self._ahead else next(self._source, None)
            if line is None:
                return
            self._number += 1
            yield self._number, line

    def peek(self, place: int) -> bytes | None:
        """A line that is still to come, counted from 0; it stays."""
        while len(self._ahead) <= place:
            line = next(self._source, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[place]

    def skip(self, count: int) -> None:
        """Pass over lines that were looked at."""
        for _ in range(count):
            self._ahead.popleft()
        self._number += count


def _split(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Lines without their ends; one that is too long is ``_TOO_LONG`` and passed over."""
    rest = b""
    passing = False
    while chunk := stream.read(CHUNK):
        *lines, rest = (rest + chunk).split(end)
        for line in lines:
            if not passing:
                yield line.removesuffix(b"\r") if end == b"\n" else line
            passing = False
        if len(rest) > LONGEST_LINE:
            if not passing:
                yield _TOO_LONG
            passing, rest = True, b""
    if rest and not passing:
        yield rest.removesuffix(b"\r") if end == b"\n" else rest
