"""Tables as text that is Markdown in a file and can be read on a terminal."""

from collections.abc import Sequence

from lightrec.evaluation.sections import Table
from lightrec.intervals import Interval

NOTHING = "–"


def aligned(table: Table) -> str:
    """Set a table with columns of even width: the first to the left, numbers to the right."""
    rows = [list(table.head), *(list(row) for row in table.rows)]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "| " + " | ".join([first, *rest]) + " |"


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
