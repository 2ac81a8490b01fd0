"""lightrec's worlds and the environments that they are after: `make bench NAME=simulators`.

Arguments: ``--only NAME …``, ``--seed N`` and ``--fresh``. RecSim needs Python 3.7, which is looked
for on the PATH and through pyenv.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.cells import Benchmark
from benchmarks.ranking.environments import environment, interpreter
from benchmarks.simulators.table import numbers, table

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HERE = Path(__file__).parent
CELLS = {
    "interest-evolution/speed": "speed",
    "interest-evolution/sessions": "sessions",
    "long-term-satisfaction": "satisfaction",
}
"""What is measured in lightrec and in RecSim, one after the other."""


def recsim() -> str:
    """Give the Python of RecSim's environment.

    Its own requirements are not asked for: they are TensorFlow and what its agents need.
    """
    return environment("recsim", HERE / "requirements", interpreter("3.7"), ["--no-deps"])


def main() -> None:
    """Run the cells and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulators")
    parser.add_argument("--only", nargs="*", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    benchmark = Benchmark("simulators")
    seed = chosen.seed
    script = os.path.relpath(HERE / "peers" / "recsim_environments.py")
    for name in chosen.only:
        ending = [CELLS[name], "{out}/metrics.json", str(seed)]
        own = [sys.executable, "-m", "benchmarks.simulators.worlds", *ending]
        benchmark.cell(f"{name}/lightrec", own, seed, "metrics.json")
        # The environment is only made where the cell has yet to be measured.
        python = "" if benchmark.has(f"{name}/recsim") else recsim()
        benchmark.cell(f"{name}/recsim", [python, script, *ending], seed, "metrics.json")
    benchmark.numbers = numbers(benchmark.cells)
    benchmark.write()
    print(table(benchmark.numbers))


if __name__ == "__main__":
    main()
