"""What the report is made of: sections with tables and pictures."""

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
