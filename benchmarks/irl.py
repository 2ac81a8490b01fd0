"""Rewards from logs of the world `far`, beside the truth: `make bench NAME=irl`.

Logs of 1,000 and 10,000 sessions, three seeds; the people's taste is shown to no learner. All see
the world's item vectors, the last 20 choices and the offers. `supervised` is the same network with
the true reward as its label. In `myopic` people do not look ahead. At last every learner reads a
log of a million events once, for its memory.
"""

import sys
from pathlib import Path
from statistics import mean

from benchmarks.cells import Benchmark, markdown
from benchmarks.irl_run import LEARNERS

SEEDS = range(3)
LOGS = Path(__file__).parent / "logs"
MILLION = 25_000
"""Sessions of forty events."""
STREAMED = ("click-classifier", "reward-weighted", "two-step", "maxent", "iq-learn", "mixture")
MYOPIC = ("supervised", "logit", "two-step", "popularity")


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("irl")
    cells = [("far", size, name) for size in (10_000, 1_000) for name in LEARNERS]
    cells += [("myopic", 10_000, name) for name in MYOPIC]
    for seed in SEEDS:
        for world, sessions, learner in cells:
            if learner != "mixture":
                measure(benchmark, world, sessions, learner, seed)
    # Written before, so that the memory is the learner's and not the world's.
    measure(benchmark, "far", MILLION, "popularity", 0)
    for learner in STREAMED:
        measure(benchmark, "far", MILLION, learner, 0)
    for world, sessions in (("far", 10_000), ("far", 1_000), ("myopic", 10_000)):
        print(table(benchmark.cells, world, sessions), end="\n\n")
    print(memory(benchmark.cells))


def measure(benchmark: Benchmark, world: str, sessions: int, learner: str, seed: int) -> None:
    """Run one cell unless its result is there."""
    key = f"{world}/{sessions}/{learner}/seed-{seed}"
    command = [sys.executable, "-m", "benchmarks.irl_run", "{out}/x.json", "{logs}"]
    command += [world, str(sessions), learner, str(seed)]
    benchmark.cell(key, command, seed, "x.json", logs=LOGS)


def memory(cells: dict[str, dict]) -> str:
    """Set the peak memory over a million events as a Markdown table."""
    rows = []
    for learner in STREAMED:
        if cell := cells.get(f"far/{MILLION}/{learner}/seed-0"):
            peak, seconds = cell["peak_resident_mib"] / 1024, cell["cpu_seconds"]
            rows.append([learner, f"{peak:.2f}", f"{seconds:.0f}"])
    return markdown(["learner, a million events", "peak GiB", "CPU s"], rows)


def table(cells: dict[str, dict], world: str, sessions: int | str) -> str:
    """Set the mean of the seeds as a Markdown table, a learner a line."""

    def of(learner: str, name: str) -> list[float]:
        known = [cells.get(f"{world}/{sessions}/{learner}/seed-{s}") for s in SEEDS]
        return [cell["metrics"][name] for cell in known if cell and name in cell["metrics"]]

    rows = []
    low, high = of("popularity", "greedy"), of("supervised", "greedy")
    for learner in LEARNERS:
        spearman = of(learner, "spearman")
        if not spearman:
            continue
        ceiling, greedy = of("supervised", "spearman"), of(learner, "greedy")
        share = mean(s / c for s, c in zip(spearman, ceiling, strict=False))
        gap = mean((g - a) / (b - a) for g, a, b in zip(greedy, low, high, strict=False))
        plans, best = of(learner, "planned"), of("supervised", "planned")
        shown = [
            mean(spearman),
            share,
            gap,
            mean(p / b for p, b in zip(plans, best, strict=False)) if plans else None,
            mean(of(learner, "log_likelihood") or [float("nan")]),
        ]
        seconds = mean(
            cells[f"{world}/{sessions}/{learner}/seed-{s}"]["cpu_seconds"]
            for s in range(len(spearman))
        )
        words = ["–" if v is None or v != v else f"{v:.3f}" for v in shown]
        rows.append([learner, *words, f"{seconds:.0f}"])
    head = [f"{world}, {int(sessions):,} sessions", "Spearman", "of supervised", "greedy"]
    return markdown([*head, "re-planned", "log-likelihood", "CPU s"], rows)


if __name__ == "__main__":
    main()
