"""What reports are made of: sections, tables and charts as plain data, and how numbers are set."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from lightrec.intervals import Interval

NOTHING = "–"
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass
class Table:
    """A table; the row that begins with ``own`` is set off in the page."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    own: str = ""

    def markdown(self) -> str:
        """Set it as Markdown that can be read on a terminal, too."""
        head, *rows = self._aligned(3)
        rule = ["-" * len(head[0]), *("-" * (len(cell) - 1) + ":" for cell in head[1:])]
        return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))

    def text(self) -> str:
        """Set it for a terminal."""
        return "\n".join("  ".join(row).rstrip() for row in self._aligned())

    def _aligned(self, least: int = 0) -> list[list[str]]:
        """Give all cells columns of even width: the first to the left, numbers to the right."""
        rows = [list(self.head), *(list(row) for row in self.rows)]
        widths = [max(least, *map(len, column)) for column in zip(*rows, strict=True)]
        return [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]


@dataclass
class Section:
    """A part of the report."""

    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    figure: str = ""
    note: str = ""


def number(value: float | None, digits: int = 3) -> str:
    """Set a number for reading."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def signed(mean: float, low: float, high: float) -> str:
    """Set a difference with its 95 % interval."""
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def give(interval: Interval | None) -> str:
    """Write a mean with half the width of its interval, or its ends where it lies unevenly.

    :returns: a dash for nothing.
    """
    if interval is None:
        return NOTHING
    half, other = interval.high - interval.mean, interval.mean - interval.low
    if half == float("inf"):
        return f"{interval.mean:.3g}"
    if abs(half - other) > 1e-6 * abs(half):
        return f"{interval.mean:.3g} ({interval.low:.2g} to {interval.high:.2g})"
    return f"{interval.mean:.3g} ± {half:.2g}"


def to_plain(value: object) -> Json:
    """Make dataclasses, named tuples of intervals and numbers what JSON can hold.

    Named tuples that hold others become objects, those of numbers lists; what is infinite or no
    number becomes null.

    :raises TypeError: where something else is found.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict") and isinstance(value[0], tuple):
        return to_plain(value._asdict())
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")
