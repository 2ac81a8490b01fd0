"""How many sessions a reward needs, in the world `far`: `make bench NAME=irl_sessions`.

The two-step estimator, three seeds, from 250 to 2,000 sessions of a pool of 10,000: drawn evenly;
asked for by an ensemble's disagreement, a doubling a round; and drawn evenly with a fifth of every
history's steps left out in training.
"""

import sys
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

from benchmarks.cells import Benchmark, markdown
from benchmarks.irl import LOGS, SEEDS
from benchmarks.irl_sessions_run import SIZES, WAYS

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "irl_sessions.png"


def main() -> None:
    """Run the cells, print the table and draw it."""
    benchmark = Benchmark("irl_sessions")
    for seed in SEEDS:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.irl_sessions_run", "{out}/x.json"]
            command += ["{logs}", way, str(seed)]
            benchmark.cell(f"{way}/seed-{seed}", command, seed, "x.json", logs=LOGS)
    print(table(benchmark.cells))
    draw(benchmark.cells, PICTURE)


def found(cells: dict[str, dict], way: str, size: int) -> list[float]:
    """Give the Spearman correlations of the seeds that are there."""
    known = [cells.get(f"{way}/seed-{seed}") for seed in SEEDS]
    return [cell["metrics"][f"spearman@{size}"] for cell in known if cell]


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw the curves: means, and the seeds as dots."""
    figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    for way in WAYS:
        curves = [found(cells, way, size) for size in SIZES]
        (line,) = axes.plot(SIZES, [mean(values) for values in curves], label=way)
        for size, values in zip(SIZES, curves, strict=True):
            axes.plot([size] * len(values), values, ".", color=line.get_color(), alpha=0.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
    axes.set_xlabel("sessions")
    axes.set_ylabel("Spearman with the true reward")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def table(cells: dict[str, dict]) -> str:
    """Set Spearman correlations, the mean of the seeds that are there, as a Markdown table."""
    rows = []
    for size in SIZES:
        values_of = [found(cells, way, size) for way in WAYS]
        shown = [f"{mean(values):.3f} ({len(values)})" if values else "–" for values in values_of]
        rows.append([f"{size:,}", *shown])
    return markdown(["sessions", *WAYS], rows)


if __name__ == "__main__":
    main()
