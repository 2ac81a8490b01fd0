"""Policies, part by part: `make bench NAME=policies`.

Arguments: ``--only PART …`` and ``--fresh``. A part is a module with a function ``cells`` that runs
its cells and a function ``table`` that sets their numbers as Markdown.
"""

import argparse
import os

from benchmarks.cells import Benchmark
from benchmarks.policies import slates

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PARTS = {"slates": slates}


def main() -> None:
    """Run the cells and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--fresh", action="store_true", help="measure anew what is run")
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    benchmark = Benchmark("policies")
    for name in chosen.only:
        PARTS[name].cells(benchmark)
        print(PARTS[name].table(benchmark.cells))


if __name__ == "__main__":
    main()
