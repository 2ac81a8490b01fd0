"""The report's pictures, drawn from flat metrics."""

import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Metrics = Mapping[str, float]
Curve = tuple[Sequence[float], Sequence[float]]

OWN = "#1f5fa8"
OTHER = "#9aa7b5"
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


def bars(axes: Axes, values: Mapping[str, float], own: str, label: str) -> None:
    """Draw one horizontal bar for each contender, best on top."""
    ranked = sorted(values.items(), key=lambda pair: pair[1])
    names = [name for name, _ in ranked]
    axes.barh(names, [v for _, v in ranked], color=[OWN if n == own else OTHER for n in names])
    for row, (_, value) in enumerate(ranked):
        axes.text(max(value, 0), row, f" {value:.3f}", va="center", fontsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel(label)


def intervals(axes: Axes, rows: Mapping[str, tuple[float, float, float]], label: str) -> None:
    """Draw means with their 95 % intervals about zero, first row on top."""
    for row, (mean, low, high) in enumerate(reversed(list(rows.values()))):
        color = OWN if low > 0 else "#b5493a" if high < 0 else OTHER
        axes.plot([low, high], [row, row], color=color, lw=2)
        axes.plot(mean, row, "o", color=color)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), list(reversed(list(rows))))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)


def side_by_side(
    axes: Axes, ticks: Sequence[str], sides: Mapping[str, Sequence[float]], label: str
) -> None:
    """Draw the bars of two groups side by side; the first is what the second should be."""
    for number, ((name, values), color) in enumerate(zip(sides.items(), (OTHER, OWN), strict=True)):
        places = [tick + 0.4 * (number - 0.5) for tick in range(len(ticks))]
        axes.bar(places, values, 0.38, color=color, label=name)
    axes.set_xticks(range(len(ticks)), list(ticks))
    axes.set_xlabel(label)
    axes.legend(frameon=False, fontsize=8)


def figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure of side-by-side axes, without pyplot's global state."""
    drawn = Figure(figsize=(width, height))
    axes = drawn.subplots(1, columns, squeeze=False)[0]
    return drawn, list(axes)


def svg(drawn: Figure) -> str:
    """Give a figure as an ``<svg>`` element."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def curves(lines: Mapping[str, Curve], titles: Mapping[str, str]) -> Figure:
    """Draw one small panel for each learning curve."""
    drawn, axes = figure(3.2 * len(lines), 2.4, len(lines))
    for panel, (key, (steps, values)) in zip(axes, lines.items(), strict=True):
        panel.plot(steps, values, color=OWN, marker="o", ms=2.5, lw=1.2)
        panel.set_title(titles.get(key, key), fontsize=9)
        panel.set_xlabel("epoch")
    return drawn
