"""Estimators of whole sessions against the truth: `make bench NAME=sequential`.

Sessions are logged in two worlds of :mod:`benchmarks.sequential_run` by a policy that draws, and
five other policies are judged by them. ``--only greed`` runs the cells of one world.
"""

import sys
from collections.abc import Iterator
from statistics import fmean

from scipy.stats import spearmanr

from benchmarks.cells import Benchmark, markdown
from benchmarks.sequential_run import ESTIMATORS, ROBUST, SIZES, WIDTHS

SEEDS = range(3, 8)
WORLDS = ("exposure", "greed")
RECOMMENDED = "doubly robust, weighted"
"""Named before anything was measured."""


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("sequential")
    keys = [f"{world}/seed-{seed}" for world in WORLDS for seed in SEEDS]
    widths = [f"coverage/{width}" for width in WIDTHS]
    for key in ("exposure/truth", "greed/truth", "blind/seed-3", *keys, *widths):
        if benchmark.wants(key):
            seed = key.rpartition("-")[2] if "seed" in key else "0"
            command = [sys.executable, "-m", "benchmarks.sequential_run", key, seed, "{out}"]
            benchmark.cell(key, command, int(seed), "metrics.json")
    cells = benchmark.cells
    for world in WORLDS:
        print(errors(cells, world), ranks(cells, world), sep="\n\n", end="\n\n")
    print(blind(cells, "100%"), blind(cells, "30%"), coverage(cells), sep="\n")


def logs(cells: dict[str, dict], world: str) -> tuple[dict[str, float], list[dict]]:
    """Give a world's true values by policy, and what was found by each log."""
    found = [cells[f"{world}/seed-{seed}"]["metrics"] for seed in SEEDS]
    return cells[f"{world}/truth"]["metrics"], found


def error(cells: dict[str, dict], world: str, name: str, sessions: int) -> float:
    """Give the mean relative error of an estimator over policies and logs."""
    truth, found = logs(cells, world)
    return fmean(
        abs(each[f"{policy}/{sessions}/{name}/value"] / value - 1)
        for each in found
        for policy, value in truth.items()
    )


def errors(cells: dict[str, dict], world: str) -> str:
    """Set mean relative errors by the number of sessions, as Markdown."""
    rows = [
        [name, *(f"{error(cells, world, name, sessions):.2%}" for sessions in SIZES)]
        for name in ESTIMATORS
    ]
    return markdown(["sessions", *(f"{sessions:,}" for sessions in SIZES)], rows)


def orders(cells: dict[str, dict], world: str, name: str) -> Iterator[float]:
    """Give Spearman's correlation of estimates and truths over the policies, log by log."""
    truth, found = logs(cells, world)
    for each in found:
        values = [each[f"{policy}/{SIZES[-1]}/{name}/value"] for policy in truth]
        yield float(spearmanr(values, [*truth.values()]).statistic)


def ranks(cells: dict[str, dict], world: str) -> str:
    """Set how policies are ranked by the largest logs, and how good the intervals are."""
    truth, found = logs(cells, world)
    rows = []
    for name in ESTIMATORS:
        order = [*orders(cells, world, name)]
        held, verdicts = [], []
        for each in found:
            for policy, value in truth.items():
                key = f"{policy}/{SIZES[-1]}/{name}"
                held.append(abs(each[f"{key}/value"] - value) <= each[f"{key}/half"])
                verdicts.append(each[f"{key}/verdict"])
        said = ", ".join(
            f"{verdicts.count(word)} {word}"
            for word in ("usable", "weak", "unusable")
            if word in verdicts
        )
        rows.append([name, f"{fmean(order):.2f}", f"{min(order):.2f}", f"{fmean(held):.0%}", said])
    sessions = f"from {SIZES[-1]:,} sessions"
    return markdown([sessions, "Spearman", "lowest", "intervals that hold", "verdicts"], rows)


def coverage(cells: dict[str, dict]) -> str:
    """Set how often intervals hold the truth where states have many features, as Markdown."""
    rows = [
        [
            f"{name}, {how}",
            *(f"{cells[f'coverage/{w}']['metrics'][f'{name}/{k}']:.3f}" for w in WIDTHS),
        ]
        for k, how in ((1, "fitted to the log itself"), (3, "fitted to other users"))
        for name in ROBUST
    ]
    return markdown(["intervals that hold", *(f"{width} features" for width in WIDTHS)], rows)


def recommended(cells: dict[str, dict], world: str) -> str:
    """Give the lowest of the recommended estimator's correlations."""
    return f"{min(orders(cells, world, RECOMMENDED)):.2f}"


def blind(cells: dict[str, dict], part: str) -> str:
    """Give what all estimators say of a policy that shows what the log's never does.

    :param part: of its steps in which it does so, such as ``30%``.
    :raises ValueError: where an estimator does not say it.
    """
    found, said = cells["blind/seed-3"]["metrics"], set[str]()
    for name in ESTIMATORS:
        verdict, _, reasons = found[f"{part}/{name}"].partition(": ")
        (reason,) = (each for each in reasons.split("; ") if "never shows" in each)
        said.add(f"{verdict}: {reason}")
    (same,) = said
    return same


if __name__ == "__main__":
    main()
