"""The documentation's pictures of benchmarks, drawn anew when their cells have run."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt

from benchmarks import store, table
from lightrec.evaluation.base import Intervals
from lightrec.report.charts import draw

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
LOGS = {"beauty": "Beauty", "ml-100k": "MovieLens-100K", "food": "food", "lastfm": "Last.fm"}
RECOMMENDERS = {
    "popularity": ("closed|Popularity/ndcg@10", "#c3c9d0"),
    "ids": ("closed|ids/ndcg@10", "#7a8794"),
    "words": ("closed|words/ndcg@10", "#d9a441"),
    "frozen": ("closed|frozen/ndcg@10", "#8fb8de"),
    "mapped": ("closed|mapped/ndcg@10", "#4a86c5"),
    "both": ("closed|both/ndcg@10", "#b5493a"),
    "best blend": ("blend|blend/ndcg@10", "#5b1f16"),
}
"""Group and metric of recommenders, and their colors."""


def language() -> None:
    """NDCG@10 over the share of users, a panel a log, seeds as dots."""
    size = 1.6 + 2.4 * len(LOGS), 3
    figure, panels = plt.subplots(1, len(LOGS), figsize=size, layout="constrained")
    cells = store.read("language")
    for axes, (log, title) in zip(panels, LOGS.items(), strict=True):
        shares = sorted({int(key.split("/")[1]) for key in cells if key.startswith(f"{log}/")})
        for name, (place, color) in RECOMMENDERS.items():
            group, metric = place.split("|")
            found = [table.numbers("language", f"{log}/{n}/*/{group}", metric) for n in shares]
            axes.plot(shares, [*map(fmean, found)], "-o", color=color, markersize=4, label=name)
            for share, values in zip(shares, found, strict=True):
                axes.plot([share] * len(values), values, ".", color=color, alpha=0.6)
        axes.set(xscale="log", title=title, ylim=(0, None))
        axes.set_xticks(shares, [f"{share} %" for share in shares], minor=False)
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("NDCG@10")
    figure.supxlabel("share of the users", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    figure.savefig(IMAGES / "language.png", dpi=110)


def policies_worlds() -> None:
    """How learners come along: shares of the oracle's return against CPU seconds."""
    cells = store.read("policies_worlds")
    worlds = [key.partition("/")[0] for key in cells if key.endswith("/references/seed-0")]
    learners = sorted({key.split("/")[1] for key in cells} - {"references"})
    figure, grid = plt.subplots(2, 3, figsize=(10.5, 6.6), layout="constrained")
    for world, axes in zip(worlds, grid.flat, strict=False):
        known = cells[f"{world}/references/seed-0"]["metrics"]
        low, high = known["random/return"], known["oracle/return"]
        for number, learner in enumerate(learners):
            if cell := cells.get(f"{world}/{learner}/seed-0"):
                seconds, returns = zip(*cell["metrics"]["course"], strict=True)
                shares = [(value - low) / (high - low) for value in returns]
                axes.plot(seconds, shares, color=f"C{number}", label=learner)
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.set(ylim=(-0.3, 1.05), title=world, xlabel="CPU seconds")
    grid[0, 0].set_ylabel("random 0, oracle 1")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(IMAGES / "policies.png", dpi=110)


def scale() -> None:
    """CPU seconds and memory of each stage over the events of a log that grows in all."""
    keys = {10_000 * n: f"growth/{10_000 * n}-{200 * n}-{100 * n}" for n in (1, 10, 100, 1000)}
    cells, stages = store.read("scale"), table.declared("scale")["tables"]["growth"]["rows"]
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, kind in zip(panels, ("seconds", "peak_gib"), strict=True):
        for number, stage in enumerate(stages):
            found = {n: cells[key]["metrics"].get(f"{stage}/{kind}") for n, key in keys.items()}
            known = {n: value for n, value in found.items() if value is not None}
            if stage == "data":  # of the ranker, these have a thousand steps alone
                more = {10_000_000: "large/ten", 100_000_000: "large/hundred"}
                known |= {n: cells[key]["metrics"][f"data/{kind}"] for n, key in more.items()}
            axes.plot([*known], [*known.values()], "-o", color=f"C{number}", label=stage)
        axes.set(xscale="log", yscale="log" if kind == "seconds" else "linear", xlabel="events")
        axes.set_xticks([10**n for n in range(4, 9)], ["10 k", "100 k", "1 M", "10 M", "100 M"])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("CPU seconds")
    panels[1].set_ylabel("peak GiB")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right", frameon=False)
    figure.savefig(IMAGES / "scale.png", dpi=110)


def ecommerce() -> None:
    """NDCG@10 of the next basket, with its intervals."""
    shown = {}
    for title, name in table.declared("ecommerce")["tables"]["baskets"]["rows"].items():
        ends = [f"retail/{name}/ndcg@10{end}" for end in ("", "/low", "/high")]
        found = [table.numbers("ecommerce", "retail/seed-*", each) for each in ends]
        shown[title] = tuple(map(fmean, found))
    picture = ROOT / "plugins" / "lightrec-ecommerce" / "baskets.png"
    draw([Intervals(shown, "NDCG@10 of the next basket")]).savefig(picture, dpi=110)


DRAWN: dict[str, Callable[[], None]] = {
    "language": language,
    "policies_worlds": policies_worlds,
    "ecommerce": ecommerce,
    "scale": scale,
}
