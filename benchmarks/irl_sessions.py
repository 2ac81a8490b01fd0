"""How many sessions a reward needs, in the world `far`: `make bench NAME=irl_sessions`.

The two-step estimator, three seeds, from 250 to 2,000 sessions of a pool of 10,000: drawn evenly;
asked for by an ensemble's disagreement, a doubling a round; and drawn evenly with a fifth of every
history's steps left out in training.
"""

import sys
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

from benchmarks.cells import Benchmark
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
    print(table(benchmark))
    draw(benchmark, PICTURE)


def found(benchmark: Benchmark, way: str, size: int) -> list[float]:
    """Give the Spearman correlations of the seeds that are there."""
    cells = [benchmark.cells.get(f"{way}/seed-{seed}") for seed in SEEDS]
    return [cell["metrics"][f"spearman@{size}"] for cell in cells if cell]


def draw(benchmark: Benchmark, path: Path) -> None:
    """Draw the curves: means, and the seeds as dots."""
    figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    for way in WAYS:
        curves = [found(benchmark, way, size) for size in SIZES]
        (line,) = axes.plot(SIZES, [mean(values) for values in curves], label=way)
        for size, values in zip(SIZES, curves, strict=True):
            axes.plot([size] * len(values), values, ".", color=line.get_color(), alpha=0.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
    axes.set_xlabel("sessions")
    axes.set_ylabel("Spearman with the true reward")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def table(benchmark: Benchmark) -> str:
    """Set Spearman correlations, the mean of the seeds that are there, as a Markdown table."""
    lines = ["| sessions | " + " | ".join(WAYS) + " |", "| --- " * (1 + len(WAYS)) + "|"]
    for size in SIZES:
        values_of = [found(benchmark, way, size) for way in WAYS]
        shown = [f"{mean(values):.3f} ({len(values)})" if values else "–" for values in values_of]
        lines.append(f"| {size:,} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
