"""The report's charts, drawn, and in words for those who cannot see them."""

import html
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import matplotlib

matplotlib.use("agg")
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from lightrec.evaluation.base import Bars, Chart, Curve, Intervals, Points, Sides, spread

OWN, OTHER, WORSE = "#1f5fa8", "#7d8a99", "#b5493a"
GROUPS: Final = ("#3a7cc0", "#b5493a", "#3f8a58", "#93659f", "#a87716", "#4d7f88")
"""Colors of points; groups after these are gray. All have a contrast of 3 on either page."""
LEVELS: Final = 5
"""Number of sizes of points."""
THEMED: Final = {"#000000": "currentColor", OWN: "var(--own)", WORSE: "var(--worse)"}
"""Colors that follow the page's, which may be light or dark."""
HINT: Final = "hint: "
"""Begins what a part of a picture says when it is pointed at."""
MORE_FONTS: Final = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai"),
)
"""Fonts for scripts that matplotlib's own lacks, in the order in which they are tried."""
installed = {font.name for font in font_manager.fontManager.ttflist}
# A page's text is drawn by its reader's fonts, so that nothing is missing there.
warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
matplotlib.rcParams.update(
    {
        "font.family": [
            "DejaVu Sans",
            *(name for name in MORE_FONTS if name in installed),
            "sans-serif",
        ],
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
    colors = [OWN if name == chart.own else OTHER for name in names]
    for bar, name, value in zip(axes.barh(names, values, color=colors), names, values, strict=True):
        bar.set_gid(f"{HINT}{name}: {value:.4f}")
    for row, value in enumerate(values):
        axes.text(max(value, 0), row, f" {value:.3f}", va="center", fontsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel(chart.label, loc="right")


def intervals(axes: Axes, chart: Intervals) -> None:
    """Draw means with their intervals about zero, the first row on top."""
    rows = list(chart.rows.items())[::-1]
    for row, (name, ends) in enumerate(rows):
        mean, low, high = ends
        color = OWN if low > 0 else WORSE if high < 0 else OTHER
        for (drawn,) in (
            axes.plot([low, high], [row, row], color=color, lw=2),
            axes.plot(mean, row, "o", color=color),
        ):
            drawn.set_gid(f"{HINT}{name}: {spread(ends)}")
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(chart.label, loc="right")


def sides(axes: Axes, chart: Sides) -> None:
    """Draw the bars of two groups side by side."""
    colors = OTHER, OWN
    for number, ((name, values), color) in enumerate(zip(chart.sides.items(), colors, strict=True)):
        places = [tick + 0.4 * (number - 0.5) for tick in range(len(chart.ticks))]
        drawn = axes.bar(places, values, 0.38, color=color, label=name)
        for bar, tick, value in zip(drawn, chart.ticks, values, strict=True):
            bar.set_gid(f"{HINT}{name}, {tick}: {value:.3f}")
    axes.set_xticks(range(len(chart.ticks)), list(chart.ticks))
    axes.set_xlabel(chart.label, loc="right")
    axes.legend(frameon=False, fontsize=8)


def curve(axes: Axes, chart: Curve) -> None:
    """Draw a line through points."""
    axes.plot(chart.x, chart.y, color=OWN, lw=1.2)
    for x, y in zip(chart.x, chart.y, strict=True):
        (dot,) = axes.plot(x, y, "o", color=OWN, ms=2.5)
        dot.set_gid(f"{HINT}{x:.4g}: {y:.4g}")
    if chart.even:
        axes.axline((0, 0), slope=1, color=OTHER, lw=0.8, ls="--")
    for word, x, y in zip(chart.words, chart.x, chart.y, strict=False):
        axes.annotate(f" {word}", (x, y))
    axes.set_xlabel(chart.labels[0])
    axes.set_ylabel(chart.labels[1])
    axes.set_title(chart.title, fontsize=9)


def points(axes: Axes, chart: Points) -> None:
    """Draw points without axes, the largest last."""
    largest = [name for name, _ in Counter(filter(None, chart.groups)).most_common()]
    colors = dict(zip(largest, GROUPS, strict=False))
    for group, level, rows in _by_look(chart):
        at = [chart.x[row] for row in rows], [chart.y[row] for row in rows]
        color = colors.get(group, OTHER)
        # Edges are solid: a fill that others shine through is too faint on either page by itself.
        fill = to_rgba(color, 0.65)
        drawn = axes.scatter(*at, s=4 * 2.2**level, facecolors=[fill], edgecolors=color, lw=0.6)
        drawn.set_gid(f"{HINT}points")
    for group, color in colors.items():
        axes.plot([], [], "o", color=color, ms=4, label=group)
    if colors:
        below = {"bbox_to_anchor": (0.5, 0.0), "ncols": 3}
        axes.legend(loc="upper center", frameon=False, fontsize=7, handlelength=1, **below)
    axes.set_axis_off()
    axes.set_title(chart.title, fontsize=9)


def _by_look(chart: Points) -> Iterator[tuple[str, int, list[int]]]:
    """The rows of points that look alike, by group and level of size, the largest last."""
    levels = [min(round(size * (LEVELS - 1)), LEVELS - 1) for size in chart.sizes]
    alike: dict[tuple[int, str], list[int]] = {}
    for row, look in enumerate(zip(levels, chart.groups, strict=True)):
        alike.setdefault(look, []).append(row)
    for (level, group), rows in sorted(alike.items()):
        yield group, level, rows


def draw(charts: Sequence[Chart]) -> Figure:
    """Draw charts side by side, without pyplot's global state."""
    kinds = {Bars: bars, Intervals: intervals, Sides: sides, Curve: curve, Points: points}
    rows = [len(c.values) for c in charts if isinstance(c, Bars)]
    rows += [len(c.rows) for c in charts if isinstance(c, Intervals)]
    height = max(2.4, 0.26 * max(rows, default=0) + 0.8)
    if any(isinstance(chart, Points) for chart in charts):
        height = 4.4
    drawn = Figure(figsize=(4.5 * len(charts), height))
    for axes, chart in zip(drawn.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        kinds[type(chart)](axes, chart)  # type: ignore[operator]
    return drawn


def svg(chart: Chart) -> str:
    """A chart as an ``<svg>`` element with words for who points at it or cannot see it."""
    buffer = io.StringIO()
    draw([chart]).savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for color, named in THEMED.items():
        text = text.replace(color, named)
    if isinstance(chart, Points):
        words = [chart.words[row] for _, _, rows in _by_look(chart) for row in rows]
        text = _each_point(text, words)
    text = re.sub(rf"""<g id=(["']){HINT}(.*?)\1>""", r"<g><title>\2</title>", text)
    said = html.escape(in_words(chart))
    return text.replace("<svg", f'<svg role="img" aria-label="{said}"', 1)


def _each_point(text: str, words: Sequence[str]) -> str:
    """Put a word into each point of groups that ask for it."""
    following = iter(words)

    def with_words(group: re.Match[str]) -> str:
        return re.sub(
            r"(<use [^>]*?)/>",
            lambda use: f"{use[1]}><title>{html.escape(next(following))}</title></use>",
            group[0].replace(f' id="{HINT}points"', "", 1),
        )

    # Each of these groups ends where the next part of the picture begins.
    return re.sub(rf'<g id="{HINT}points"[^>]*>.*?(?=<g id=|$)', with_words, text, flags=re.DOTALL)


def in_words(chart: Chart) -> str:
    """Say what a chart shows, for those who cannot see it."""
    if isinstance(chart, Bars):
        values = sorted(chart.values.items(), key=lambda pair: -pair[1])
        return f"{chart.label}: " + ", ".join(f"{name} {value:.3f}" for name, value in values)
    if isinstance(chart, Intervals):
        return f"{chart.label}: " + ", ".join(f"{n} {spread(e)}" for n, e in chart.rows.items())
    if isinstance(chart, Sides):
        sides = (
            f"{name} " + ", ".join(f"{t} {v:.3f}" for t, v in zip(chart.ticks, values, strict=True))
            for name, values in chart.sides.items()
        )
        return f"{chart.label}: " + "; ".join(sides)
    if isinstance(chart, Points):
        return f"{chart.title}: {len(chart.words)} points of {len({*chart.groups})} groups"
    names = chart.title or " over ".join(filter(None, reversed(chart.labels)))
    if not len(chart.x):
        return f"{names}: empty"
    ends = [f"{chart.y[end]:.3f} at {chart.x[end]:.4g}" for end in (0, -1)]
    return f"{names}: from {ends[0]} to {ends[1]}, highest {max(chart.y):.3f}"
