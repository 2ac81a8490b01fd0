"""Policies, part by part: `make bench NAME=policies`.

Arguments: ``--only PART …`` and ``--fresh``. Each part has results of its own, so that parts can
run side by side.
"""

import argparse
import os

from benchmarks.cells import Benchmark
from benchmarks.policies import draws, learners, new_items, slates

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PARTS = {
    "slates": ("policies", slates.cells, slates.table),
    "worlds": ("policies_worlds", learners.cells, learners.table),
    "asked": ("policies_asked", learners.long_cells, learners.long_table),
    "draws": ("policies_draws", draws.cells, draws.table),
    "new-items": ("policies_new_items", new_items.cells, new_items.table),
}
"""Where a part's results go, what runs its cells, and what sets them as Markdown."""


def main() -> None:
    """Run the cells and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--fresh", action="store_true", help="measure anew what is run")
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    for name in chosen.only:
        results, run, table = PARTS[name]
        benchmark = Benchmark(results)
        run(benchmark)
        print(table(benchmark.cells))


if __name__ == "__main__":
    main()
