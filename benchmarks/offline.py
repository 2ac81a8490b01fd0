"""Policies learned from a log alone, and how estimators rank them: `make bench NAME=offline`.

Each cell is a seed of :mod:`benchmarks.offline_run`: in the world `greed` a mediocre policy shows
20,000 sessions, and every learner has them and nothing else. ``--only seed-3`` runs one.
"""

import sys
from statistics import fmean

from scipy.stats import spearmanr

from benchmarks.cells import Benchmark, markdown
from benchmarks.offline_run import ESTIMATORS, LAWS, OFFLINE
from benchmarks.policies.learners import share

SEEDS = range(3, 6)
"""Settings were chosen on others."""


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("offline")
    for seed in SEEDS:
        key = f"seed-{seed}"
        if benchmark.wants(key):
            command = [sys.executable, "-m", "benchmarks.offline_run", str(seed), "{out}"]
            benchmark.cell(key, command, seed, "metrics.json")
    print(table(benchmark.cells), ranks(benchmark.cells), sep="\n\n")


def shares(cells: dict[str, dict], name: str) -> list[float]:
    """Give shares of the oracle's return, random being 0, seed by seed.

    :param name: such as ``iql/return``.
    """
    found = [cells[f"seed-{seed}"]["metrics"] for seed in SEEDS]
    return [share(metrics, metrics[name]) for metrics in found]


def learners(cells: dict[str, dict]) -> list[str]:
    """Give the learners that were measured on every seed."""
    known = [cells[f"seed-{seed}"]["metrics"] for seed in SEEDS]
    return [loss for loss in OFFLINE if all(f"{loss}/return" in metrics for metrics in known)]


def table(cells: dict[str, dict]) -> str:
    """Set the shares of the items of highest score, and of drawn ones, as Markdown."""
    rows = []
    for name in ("behavior", *learners(cells)):
        best = shares(cells, f"{name}/return")
        draws = name in ("behavior", *LAWS)
        drawn = reached(cells, f"{name}/drawn") if draws else "–"
        rows.append([name, *(f"{each:.2f}" for each in best), f"{fmean(best):.2f}", drawn])
    return markdown(["", *(f"seed {seed}" for seed in SEEDS), "mean", "drawn, mean"], rows)


def reached(cells: dict[str, dict], name: str) -> str:
    """Give a mean share, such as that of ``iql/return``."""
    return f"{fmean(shares(cells, name)):.2f}"


def ranks(cells: dict[str, dict]) -> str:
    """Set how estimators rank the learned policies, as Markdown."""
    rows = []
    for name in ESTIMATORS:
        found = [cells[f"seed-{seed}"]["metrics"] for seed in SEEDS]
        pairs = [
            [(each[f"{loss}/{name}/value"], each[f"{loss}/return"]) for loss in learners(cells)]
            for each in found
        ]
        orders = [float(spearmanr(*zip(*each, strict=True)).statistic) for each in pairs]
        errors = [abs(value / truth - 1) for each in pairs for value, truth in each]
        verdicts = [each[f"{loss}/{name}/verdict"] for each in found for loss in learners(cells)]
        said = ", ".join(
            f"{verdicts.count(word)} {word}"
            for word in ("usable", "weak", "unusable")
            if word in verdicts
        )
        rows.append([name, *(f"{each:.2f}" for each in orders), f"{fmean(errors):.0%}", said])
    seeds = [f"Spearman, seed {seed}" for seed in SEEDS]
    return markdown(["", *seeds, "mean error", "verdicts"], rows)


if __name__ == "__main__":
    main()
