"""How many sessions a reward needs, in the world `far`: `make bench NAME=irl_sessions`.

The two-step estimator, three seeds, from 250 to 2,000 sessions of a pool of 10,000: drawn evenly;
asked for by an ensemble's disagreement, a doubling a round; and drawn evenly with a fifth of every
history's steps left out in training.
"""

import sys
from statistics import mean

from benchmarks.cells import Benchmark
from benchmarks.irl import LOGS, SEEDS
from benchmarks.irl_sessions_run import SIZES, WAYS


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("irl_sessions")
    for seed in SEEDS:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.irl_sessions_run", "{out}/x.json"]
            command += ["{logs}", way, str(seed)]
            benchmark.cell(f"{way}/seed-{seed}", command, seed, "x.json", logs=LOGS)
    print("| sessions | " + " | ".join(WAYS) + " |")
    print("| --- " * (1 + len(WAYS)) + "|")
    for size in SIZES:
        found = [
            mean(benchmark.cells[f"{way}/seed-{s}"]["metrics"][f"spearman@{size}"] for s in SEEDS)
            for way in WAYS
        ]
        print(f"| {size:,} | " + " | ".join(f"{value:.3f}" for value in found) + " |")


if __name__ == "__main__":
    main()
