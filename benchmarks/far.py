"""The world `far`, 10,000 sessions: `make bench NAME=far`.

The reward is fitted on one half of the sessions, as in every run. Settings were chosen on seeds 0
to 2; what is reported are others.
"""

import sys
from statistics import fmean

from benchmarks.cells import Benchmark, markdown

CHOSEN_ON, SEEDS = (0, 1, 2), (3, 4, 5)
COLUMNS = {
    "truth/learned/spearman": "learned reward",
    "truth/logit/spearman": "conditional logit (γ = 0)",
    "truth/popularity/spearman": "popularity",
    "truth/gain": "gain over the logit",
}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("far")
    for seed in SEEDS:
        command = [sys.executable, "-m", "benchmarks.far_truth", "{out}/far", str(seed)]
        benchmark.cell(f"far/seed-{seed}", command, seed, "far/metrics.json")
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set seeds as rows, those that settings were chosen on first, and the mean of the others."""
    rows, reported = [], []
    for seed in (*CHOSEN_ON, *SEEDS):
        if cell := cells.get(f"far/seed-{seed}"):
            values = [cell["metrics"][name] for name in COLUMNS]
            rows.append([f"{seed}, chosen on" if seed in CHOSEN_ON else str(seed), *_texts(values)])
            reported += [values] if seed in SEEDS else []
    if reported:
        means = [fmean(column) for column in zip(*reported, strict=True)]
        rows.append(["mean of the seeds not chosen on", *_texts(means)])
    return markdown(["seed", *COLUMNS.values()], rows)


def _texts(values: list[float]) -> list[str]:
    return [*(f"{value:.3f}" for value in values[:-1]), f"{values[-1]:+.3f}"]


if __name__ == "__main__":
    main()
