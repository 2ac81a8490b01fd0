"""Changing tastes: ten rounds of show, log and update: `make bench NAME=rounds`.

`lightrec update` after each round is compared with training anew, with a run that is never updated,
with popularity and with the oracle, in worlds whose people's tastes drift and stay. Logs and runs
lie in the system's folder for temporary files, and finished cells and rounds are kept. `--only
drift-0.1/seed-3` runs a part.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import torch

from benchmarks.cells import Benchmark, markdown
from benchmarks.rounds_run import ARMS, ROUNDS
from lightrec.intervals import mean_interval

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "rounds.png"
SEEDS = range(3, 6)
"""Settings were chosen on others."""
DRIFTS = (0.1, 0.0)
NAMES = {
    "update": "`lightrec update`",
    "anew": "trained anew",
    "never": "never updated",
    "popularity": "popularity",
    "oracle": "oracle",
}
COLORS = ("#1f5fa8", "#c98a1b", "#b5493a", "#9aa7b5", "#4b4b4b")
SHOWN = {"reward": ".2f", "regret": ".2f", "coverage": ".1%", "popular": ".1%"}

Cells = dict[str, dict]


def main() -> None:
    """Run the cells, print the tables and draw the rounds."""
    benchmark = Benchmark("rounds")
    rooms = Path(tempfile.gettempdir()) / "lightrec-benchmark-rounds"
    for drift in DRIFTS:
        for seed in SEEDS:
            here = f"drift-{drift}/seed-{seed}"
            for arm in (*ARMS, "judged"):
                if benchmark.wants(f"{here}/{arm}"):
                    command = [sys.executable, "-m", "benchmarks.rounds_run", "{room}", arm]
                    command += [str(seed), str(drift), "{out}/metrics.json"]
                    key = f"{here}/{arm}"
                    benchmark.cell(key, command, seed, "metrics.json", room=rooms / here)
    print(table(benchmark.cells), compared(benchmark.cells), sep="\n\n")
    draw(benchmark.cells, PICTURE)


def seeds(cells: Cells, drift: float) -> list[int]:
    """Name the seeds that are judged."""
    return [seed for seed in SEEDS if f"drift-{drift}/seed-{seed}/judged" in cells]


def values(cells: Cells, drift: float, name: str, arm: str = "judged") -> list[float]:
    """Give a metric of a cell, seed by seed."""
    found = (cells[f"drift-{drift}/seed-{seed}/{arm}"] for seed in seeds(cells, drift))
    return [cell["metrics"][name] for cell in found]


def seconds(cells: Cells, drift: float, arm: str) -> list[float]:
    """Give the CPU seconds that an arm learned before a round, by seed: means over the rounds."""
    turns = range(2, ROUNDS + 1)
    found = [values(cells, drift, f"round-{turn}/cpu_seconds", arm) for turn in turns]
    return [fmean(each) for each in zip(*found, strict=True)]


def table(cells: Cells) -> str:
    """Set the means over rounds and seeds as Markdown."""
    rows = []
    for drift in DRIFTS:
        for arm in ARMS if seeds(cells, drift) else ():
            row = [f"{drift:g}", NAMES[arm]]
            for name, form in SHOWN.items():
                known = not (arm == "oracle" and name == "regret")
                row.append(
                    format(fmean(values(cells, drift, f"{arm}/{name}")), form) if known else "–"
                )
            learns = arm in ("update", "anew")
            row.append(f"{fmean(seconds(cells, drift, arm)):.1f}" if learns else "–")
            rows.append(row)
    head = ["drift", "", "reward", "regret", "coverage", "popular items", "CPU s a round"]
    return markdown(head, rows)


def compared(cells: Cells) -> str:
    """Set what an update reaches, by seed and over the seeds, as Markdown."""
    rows = []
    for drift in DRIFTS:
        found = seeds(cells, drift)
        names = ("update-of-anew", "update-minus-never")
        costs = [seconds(cells, drift, arm) for arm in ("update", "anew")]
        ratios = [mine / theirs for mine, theirs in zip(*costs, strict=True)]
        for place, seed in enumerate(found):
            metrics = cells[f"drift-{drift}/seed-{seed}/judged"]["metrics"]
            ends = [[metrics[f"{name}{end}"] for end in ("", "/low", "/high")] for name in names]
            rows.append([f"{drift:g}", str(seed), *map(_interval, ends), f"{ratios[place]:.3f}"])
        if len(found) > 1:
            over = [mean_interval(torch.tensor(values(cells, drift, name))) for name in names]
            row = [f"{drift:g}", "all", *map(_interval, over), f"{fmean(ratios):.3f}"]
            rows.append(row)
    head = ["drift", "seed", "update / anew", "update − never", "CPU, update / anew"]
    return markdown(head, rows)


def _interval(ends: Sequence[float]) -> str:
    mean, low, high = (f"{end:.3f}".replace("-", "−") for end in ends)
    return f"{mean} ({low} to {high})"


def draw(cells: Cells, path: Path) -> None:
    """Draw reward, coverage and popular items by round: means over seeds, a row for each drift."""
    titles = {
        "reward": "items taken a visit",
        "coverage": "share of the catalog shown",
        "popular": "share of the top tenth",
    }
    drifts = [drift for drift in DRIFTS if seeds(cells, drift)]
    if not drifts:
        return
    figure, axes = plt.subplots(
        len(drifts),
        len(titles),
        figsize=(9, 0.2 + 2.5 * len(drifts)),
        layout="constrained",
        sharex=True,
        sharey="col",
        squeeze=False,
    )
    turns = range(1, ROUNDS + 1)
    for row, drift in zip(axes, drifts, strict=True):
        for part, (name, title) in zip(row, titles.items(), strict=True):
            for arm, color in zip(ARMS, COLORS, strict=True):
                means = [values(cells, drift, f"{arm}/round-{turn}/{name}") for turn in turns]
                if all(means):
                    label = NAMES[arm].strip("`")
                    part.plot(turns, [fmean(m) for m in means], color=color, label=label, lw=1.4)
            part.set_title(f"{title}, drift {drift:g}", fontsize=8)
            part.spines[["top", "right"]].set_visible(False)
            part.tick_params(labelsize=7)
            part.set_ylim(bottom=0)
    for part in axes[-1]:
        part.set_xlabel("round", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=7, loc="lower left", ncol=2)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
