"""Evaluators, and what they find: numbers, and sections, tables and charts as plain data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightrec.data.languages import fitted, width
from lightrec.run import Run

NOTHING = "–"
Metrics = Mapping[str, float]


@dataclass
class Table:
    """A table; the row that begins with ``own`` is set off in the page."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    own: str = ""

    def __post_init__(self) -> None:
        """See that every row has a text for each column.

        :raises ValueError: where one has not.
        """
        for row in (self.head, *self.rows):
            if len(row) != len(self.head) or not all(isinstance(cell, str) for cell in row):
                raise ValueError(
                    f"a table with the columns {list(self.head)!r:.80} has the row "
                    f"{list(row)!r:.80}, and every row must have a text for each column"
                )

    @classmethod
    def of(
        cls,
        metrics: Metrics,
        key: str,
        rows: Mapping[str, str],
        columns: Mapping[str, str],
        corner: str = "",
        own: str = "",
        form: str = "",
    ) -> "Table":
        """Set metrics; rows are left out of which no metric is there.

        :param key: of a metric, such as ``test/{}/{}``, for the row and then the column.
        :param rows: titles by what stands in the keys, perhaps with braces for the column.
        :param columns: titles by what stands in the keys.
        :param form: of metrics that have an interval, which is set, too; "" leaves intervals out.
        """
        cells = []
        for row, title in rows.items():
            keys = [key.format(row, "{}").format(column) for column in columns]
            if any(name in metrics for name in keys):
                cells.append([title, *(_cell(metrics, name, form) for name in keys)])
        return cls([corner, *columns.values()], cells, own)

    def markdown(self) -> str:
        """Set it as Markdown that can be read on a terminal, too."""
        head, *rows = [[cell.replace("|", "/") for cell in row] for row in self._aligned(3)]
        rule = ["-" * len(head[0]), *("-" * (len(cell) - 1) + ":" for cell in head[1:])]
        return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))

    def text(self) -> str:
        """Set it for a terminal."""
        return "\n".join("  ".join(row).rstrip() for row in self._aligned())

    def _aligned(self, least: int = 0) -> list[list[str]]:
        """Cells in columns of even width: the first to the left, numbers to the right."""
        rows = [list(self.head), *(list(row) for row in self.rows)]
        widths = [max(least, *map(width, column)) for column in zip(*rows, strict=True)]

        def right(cell: str, columns: int) -> str:
            return " " * (columns - width(cell)) + cell

        return [[fitted(row[0], widths[0]), *map(right, row[1:], widths[1:])] for row in rows]


@dataclass(frozen=True)
class Bars:
    """A horizontal bar for each value, the highest on top; the one of ``own`` is set off."""

    values: Metrics
    label: str
    own: str = ""


@dataclass(frozen=True)
class Intervals:
    """Means with their 95 % intervals, mean, low and high, about zero; the first row on top."""

    rows: Mapping[str, tuple[float, float, float]]
    label: str


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
    """Titles of the two axes."""
    title: str = ""
    words: Sequence[str] = ()
    even: bool = False
    """Whether the line y = x is drawn, too, on which a calibrated forecast would lie."""

    @classmethod
    def of_reliability(
        cls, counts: Sequence[Sequence[float]], title: str, least: int = 1
    ) -> "Curve":
        """Draw how often forecasts came true.

        :param counts: (3, bins), as :func:`lightrec.calibration.reliability` gives them.
        :param least: bins with fewer forecasts are not drawn.
        """
        bins = [each for each in zip(*counts, strict=True) if each[0] >= least]
        forecasts, happened = ([each[part] / each[0] for each in bins] for part in (1, 2))
        labels = "probability that the model gave", "share that came true"
        return cls(forecasts, happened, labels, title, even=True)


@dataclass(frozen=True)
class Points:
    """Points on a plane, larger for greater sizes, 0 to 1, each with words of its own."""

    x: Sequence[float]
    y: Sequence[float]
    sizes: Sequence[float]
    groups: Sequence[str]
    """Those of one group have one color, which a legend explains, largest first; "" is no group."""
    words: Sequence[str]
    title: str = ""


Chart = Bars | Intervals | Sides | Curve | Points


@dataclass(frozen=True)
class Answers:
    """The opening of the page: whole sentences on three questions, the unwelcome ones included.

    :param better: is it better?
    :param by_how_much: with intervals.
    :param believe: what the numbers rest on, and what they cannot tell.
    """

    better: str
    by_how_much: str
    believe: str


@dataclass
class Section:
    """A part of the report: plain data, which the page lays out and escapes.

    The text stands first and the note last, in small print; charts are drawn side by side.
    """

    title: str
    text: str
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    note: str = ""

    def markdown(self, level: int = 2) -> str:
        """Set it as Markdown, without its charts; the level is that of the heading."""
        parts = ["#" * level + f" {self.title}", self.text]
        parts += [table.markdown() for table in self.tables] + [self.note]
        return "\n\n".join(filter(None, parts)) + "\n"


@dataclass(frozen=True)
class Findings:
    """An evaluator's results, as numbers and as parts of the report.

    :param metrics: flat keys such as ``test/ndcg@10``; finite numbers only.
    :param sections: of the page.
    :param verdict: whole sentences for the page's top, the unwelcome ones included.
    :param summary: a table for the terminal.
    :param headline: charts of the picture that shows the whole result.
    :param answers: to the three questions that open the page; None where nothing is compared.
    """

    metrics: Metrics
    sections: Sequence[Section] = ()
    verdict: Sequence[str] = ()
    summary: str = ""
    headline: Sequence[Chart] = ()
    answers: Answers | None = None


class Evaluator(ABC):
    """Turns a finished run into metrics and sections of the report.

    Subclass it in a plugin, return the class from ``lightrec_evaluators``, and name it in the
    recipe ``evaluate.yaml`` under ``evaluators``.
    """

    @abstractmethod
    def evaluate(self, run: Run, seed: int) -> Findings:
        """Compute metrics, and say what they mean.

        :param run: with the stages before ``evaluate`` finished; it is only read.
        :param seed: of whatever is drawn, so that the same run gives the same metrics.
        """


def number(value: float | None, digits: int = 3) -> str:
    """Set a number for reading."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def spread(ends: tuple[float, float, float] | None, form: str = "+.3f") -> str:
    """Set a mean, low and high of its 95 % interval; by default with signs, as a difference."""
    if ends is None:
        return NOTHING
    mean, low, high = (format(end, form) for end in ends)
    return f"{mean} ({low} to {high})"


def interval(metrics: Metrics, key: str) -> tuple[float, float, float] | None:
    """Read a metric with its interval, from under ``key``, ``key/low`` and ``key/high``."""
    if key not in metrics:
        return None
    return metrics[key], metrics[f"{key}/low"], metrics[f"{key}/high"]


def _cell(metrics: Metrics, key: str, form: str) -> str:
    if form and f"{key}/low" in metrics:
        return spread(interval(metrics, key), form)
    return number(metrics.get(key))


def keys_of(key: str, ends: tuple[float, float, float]) -> dict[str, float]:
    """Write a metric with its interval, so that :func:`interval` reads it."""
    return dict(zip((key, f"{key}/low", f"{key}/high"), ends, strict=True))
