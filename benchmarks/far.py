"""The world `far`, 10,000 sessions, three seeds: `make bench NAME=far`.

The reward is fitted on one half of the sessions, as in every run. One whole run of all stages
stands beside.
"""

import sys

from benchmarks.cells import LIGHTREC, Benchmark

SHOWN = [
    "truth/learned/spearman",
    "truth/logit/spearman",
    "truth/popularity/spearman",
    "truth/value/spearman",
]


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("far")
    for seed in range(3):
        command = [sys.executable, "-m", "benchmarks.far_truth", "{out}/far", str(seed)]
        benchmark.cell(f"far/seed-{seed}", command, seed, "far/metrics.json")
    command = [LIGHTREC, "run", "generic", "--offline", "--seed", "0", "--out", "{out}/far"]
    benchmark.cell("far/whole-run", command, 0, "far/metrics.json")
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
