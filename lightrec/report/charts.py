"""The report's charts, drawn."""

import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightrec.evaluation.base import Bars, Chart, Curve, Intervals, Sides

OWN, OTHER, WORSE = "#1f5fa8", "#9aa7b5", "#b5493a"
matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        # A fixed salt makes the same metrics give the same bytes.
        "svg.hashsalt": "lightrec",
        # Titles and attributes of a log may hold "$", which is no formula there.
        "text.parse_math": False,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
    }
)


def bars(axes: Axes, chart: Bars) -> None:
    """Draw one horizontal bar for each value, the highest on top."""
    ranked = sorted(chart.values.items(), key=lambda pair: pair[1])
    names, values = [name for name, _ in ranked], [value for _, value in ranked]
    axes.barh(names, values, color=[OWN if name == chart.own else OTHER for name in names])
    for row, value in enumerate(values):
        axes.text(max(value, 0), row, f" {value:.3f}", va="center", fontsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel(chart.label)


def intervals(axes: Axes, chart: Intervals) -> None:
    """Draw means with their intervals about zero, the first row on top."""
    rows = list(chart.rows.items())[::-1]
    for row, (_, (mean, low, high)) in enumerate(rows):
        color = OWN if low > 0 else WORSE if high < 0 else OTHER
        axes.plot([low, high], [row, row], color=color, lw=2)
        axes.plot(mean, row, "o", color=color)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(chart.label)


def sides(axes: Axes, chart: Sides) -> None:
    """Draw the bars of two groups side by side."""
    colors = OTHER, OWN
    for number, ((name, values), color) in enumerate(zip(chart.sides.items(), colors, strict=True)):
        places = [tick + 0.4 * (number - 0.5) for tick in range(len(chart.ticks))]
        axes.bar(places, values, 0.38, color=color, label=name)
    axes.set_xticks(range(len(chart.ticks)), list(chart.ticks))
    axes.set_xlabel(chart.label)
    axes.legend(frameon=False, fontsize=8)


def curve(axes: Axes, chart: Curve) -> None:
    """Draw a line through points."""
    axes.plot(chart.x, chart.y, color=OWN, marker="o", ms=2.5, lw=1.2)
    for word, x, y in zip(chart.words, chart.x, chart.y, strict=False):
        axes.annotate(f" {word}", (x, y))
    axes.set_xlabel(chart.labels[0])
    axes.set_ylabel(chart.labels[1])
    axes.set_title(chart.title, fontsize=9)


def draw(charts: Sequence[Chart]) -> Figure:
    """Draw charts side by side, without pyplot's global state."""
    kinds = {Bars: bars, Intervals: intervals, Sides: sides, Curve: curve}
    rows = [len(c.values) for c in charts if isinstance(c, Bars)]
    rows += [len(c.rows) for c in charts if isinstance(c, Intervals)]
    height = max(2.4, 0.26 * max(rows, default=0) + 0.8)
    drawn = Figure(figsize=(4.5 * max(len(charts), 1.4), height))
    for axes, chart in zip(drawn.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        kinds[type(chart)](axes, chart)  # type: ignore[operator]
    return drawn


def svg(charts: Sequence[Chart]) -> str:
    """Give charts as one ``<svg>`` element; nothing where there is none."""
    if not charts:
        return ""
    buffer = io.StringIO()
    draw(charts).savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
