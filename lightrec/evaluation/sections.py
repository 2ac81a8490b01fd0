"""What the report is made of: sections with tables and pictures, and how numbers are set."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """A table of the report; the row that begins with ``own`` is set off."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    own: str = ""


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
    return "–" if value is None else f"{value:.{digits}f}"


def signed(mean: float, low: float, high: float) -> str:
    """Set a difference with its 95 % interval."""
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
