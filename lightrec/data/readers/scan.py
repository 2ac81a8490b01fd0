"""A fast look at a delimited text: every byte once, only to say whether all lines are well formed.

What is wrong where they are not, ``lightrec.data.readers.sieve`` tells.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import numpy as np

CHUNK: Final = 1 << 18
_QUOTE: Final = ord('"')


@dataclass(frozen=True)
class Layout:
    """How a text is laid out.

    :param header: the columns' names, for messages; their number is that of the fields.
    :param separator: one byte.
    :param end: the byte that ends a line: a line feed, or in very old files a carriage return.
    :param quote: whether fields may stand in double quotes.
    """

    header: Sequence[str]
    separator: bytes
    end: bytes = b"\n"
    quote: bool = True

    def outside_quotes(self, line: bytes) -> bytes:
        """The line without what stands in quotes."""
        return re.sub(rb'"[^"]*"', b"", line) if self.quote else line


@dataclass
class Records:
    """Where the records of a text are.

    :param count: how many there are, the header included, empty lines at the end not.
    :param breaks: for each line break inside quotes, the record that it belongs to.
    """

    count: int = 0
    breaks: "array[int]" = field(default_factory=lambda: array("q"))

    def line(self, record: int) -> int:
        """The line, from 1, on which a record, counted from 0, begins."""
        return 1 + record + bisect_left(self.breaks, record)


def clean_records(stream: BinaryIO, layout: Layout) -> Records | None:
    """Count the records of a well-formed text.

    :param stream: at the beginning of the text, which has a header line or not.
    :returns: None where any line has a fault, or looks as if it had one.
    """
    scan = _Scan(layout)
    while chunk := stream.read(CHUNK):
        if chunk.endswith(b"\r"):
            chunk += stream.read(1)
        if not scan.take(chunk):
            return None
    return scan.records if scan.ends_well() else None


class _Scan:
    """The state of a fast look at a text, between one chunk and the next."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.records = Records()
        self.full = layout.separator * (len(layout.header) - 1) + layout.end
        kept = layout.separator + layout.end
        self.others = bytes(b for b in range(256) if b not in kept + b'"')
        self.beside_quotes = np.zeros(256, bool)
        self.beside_quotes[list(kept + b'"\r')] = True
        self.marks = b""
        """Separators since the last line's end."""
        self.rest = b""
        """Bytes of a character that the chunk cut."""
        self.last = layout.end[0]
        self.inside = False
        self.over = False
        """Whether only empty lines may follow."""

    def take(self, chunk: bytes) -> bool:
        """Look at the next chunk; False ends the look."""
        if b"\0" in chunk or self._has_other_ends(chunk):
            return False
        if (self.rest or not chunk.isascii()) and not self._is_utf8(chunk):
            return False
        if self.layout.quote and (self.inside or self.last == _QUOTE or b'"' in chunk):
            marks = self._marks_outside_quotes(chunk)
        else:
            marks = chunk.translate(None, self.others + (b"" if self.layout.quote else b'"'))
        begun = self.last not in b"\r\n"
        self.last = chunk[-1]
        return marks is not None and self._count(marks, chunk, begun)

    def _has_other_ends(self, chunk: bytes) -> bool:
        if self.layout.end == b"\r":
            return b"\n" in chunk
        returns = chunk.count(b"\r")
        return bool(returns) and returns != chunk.count(b"\r\n")

    def _is_utf8(self, chunk: bytes) -> bool:
        whole = self.rest + chunk
        try:
            whole.decode()
        except UnicodeDecodeError as error:
            # At most three bytes of a character are still to come.
            if error.reason != "unexpected end of data" or len(whole) - error.start > 3:
                return False
            self.rest = whole[error.start :]
            return True
        self.rest = b""
        return True

    def _marks_outside_quotes(self, chunk: bytes) -> bytes | None:
        """Separators and ends, or None where a quote stands inside a field."""
        if not self._quotes_are_right(chunk):
            return None
        end = self.layout.end[0]
        codes = np.frombuffer(chunk.translate(None, self.others), np.uint8)
        quotes = codes == _QUOTE
        inside = ((np.cumsum(quotes, dtype=np.uint8) + self.inside) & 1).astype(bool)
        ends = codes == end
        inner = np.flatnonzero(ends & inside)
        if len(inner):
            before = np.searchsorted(np.flatnonzero(ends & ~inside), inner)
            self.records.breaks.extend((self.records.count + before).tolist())
        self.inside = bool(inside[-1]) if len(inside) else self.inside
        return codes[~(inside | quotes)].tobytes()

    def _quotes_are_right(self, chunk: bytes) -> bool:
        """Whether those that open and those that close stand at the borders of fields."""
        codes = np.frombuffer(chunk, np.uint8)
        at = np.flatnonzero(codes == _QUOTE)
        opening, closing = at[int(self.inside) :: 2], at[1 - int(self.inside) :: 2]
        before, after = codes[opening - 1], codes[closing[closing + 1 < len(codes)] + 1]
        if len(opening) and opening[0] == 0:
            before[0] = self.last
        if self.last == _QUOTE and not self.inside and not self.beside_quotes[codes[0]]:
            return False
        return bool(self.beside_quotes[before].all() and self.beside_quotes[after].all())

    def _count(self, marks: bytes, chunk: bytes, begun: bool) -> bool:
        """Compare the marks with those of whole lines.

        :param begun: whether the chunk goes on with a line.
        """
        end = self.layout.end
        if self.over:
            return not chunk.strip(b"\r\n")
        marks = self.marks + marks
        cut = marks.rfind(end) + 1
        body, self.marks = marks[:cut], marks[cut:]
        count = body.count(end)
        if body != self.full * count:
            whole = body.rstrip(end) + end if body.strip(end) else b""
            empty = count - whole.count(end)
            count -= empty
            self.over = True
            content = chunk.rstrip(b"\r\n")
            ends = chunk[len(content) :].count(end)
            # Of the ends behind content the first is its own, and only the others are empty lines.
            enough = ends - (begun or bool(content)) >= empty
            if whole != self.full * count or self.marks or not enough:
                return False
        self.records.count += count
        return True

    def ends_well(self) -> bool:
        """Look at the last line, which may lack its end."""
        if self.inside or self.rest:
            return False
        if self.last == self.layout.end[0]:
            return True
        self.records.count += 1
        return not self.over and self.marks + self.layout.end == self.full
