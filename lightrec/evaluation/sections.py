"""What reports are made of: sections, tables and charts as plain data, and how numbers are set."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        head, *rows = [[cell.replace("|", "/") for cell in row] for row in self._aligned(3)]
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


@dataclass(frozen=True)
class Bars:
    """A horizontal bar for each value, the highest on top; the one of ``own`` is set off."""

    values: Mapping[str, float]
    label: str
    own: str = ""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Intervals:
    """Means with their 95 % intervals, mean, low and high, about zero; the first row on top."""

    rows: Mapping[str, tuple[float, float, float]]
    label: str

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Sides:
    """Bars of two groups side by side, one of each group a tick; the first is the standard."""

    sides: Mapping[str, Sequence[float]]
    ticks: Sequence[str]
    label: str


@dataclass(frozen=True)
class Curve:
    """A line through points, with words next to the points where there are any."""

    x: Sequence[float]
    y: Sequence[float]
    labels: tuple[str, str] = ("", "")
    """Of the two axes."""
    title: str = ""
    words: Sequence[str] = ()


Chart = Bars | Intervals | Sides | Curve


@dataclass
class Section:
    """A part of the report: plain data, which the page lays out and escapes.

    :param title: the heading.
    :param text: what stands first.
    :param tables: in their order.
    :param charts: drawn side by side.
    :param note: what stands last, in small print.
    """

    title: str
    text: str
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    note: str = ""


def number(value: float | None, digits: int = 3) -> str:
    """Set a number for reading."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def signed(mean: float, low: float, high: float) -> str:
    """Set a difference with its 95 % interval."""
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def interval(metrics: Mapping[str, float], key: str) -> tuple[float, float, float] | None:
    """Read a metric with its interval, from under ``key``, ``key/low`` and ``key/high``."""
    if key not in metrics:
        return None
    return metrics[key], metrics[f"{key}/low"], metrics[f"{key}/high"]


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
