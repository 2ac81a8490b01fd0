"""lightrec's learners and the package `imitation`, in turn, on the same 60 trajectories.

Arguments: ``--only NAME …``, ``--seeds N …``, ``--no-peer`` and ``--fresh``. A learner has arrived
when its most probable actions reach 95 % of the expert's return on 32 fresh episodes; the seconds
are the process's CPU seconds from building the learner on, one thread, without evaluations.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import Benchmark
from benchmarks.imitation.demonstrations import record
from benchmarks.imitation.learners import VARIANTS
from benchmarks.imitation.table import numbers, table
from benchmarks.ranking.environments import environment

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HERE = Path(__file__).parent
GOAL, LIMIT, CONTROL_LIMIT = 0.95, 240, 30
PEERS = ("gail", "airl")
CONTROLS = ("gail", "airl", "sqil")


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imitation")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    benchmark = Benchmark("imitation")
    script = os.path.relpath(HERE / "peers" / "imitation_learners.py")
    own = [sys.executable, "-m", "benchmarks.imitation.learners"]
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "demonstrations.npz"
        goal = str(GOAL * record(shown))
        for seed in chosen.seeds:
            for name in chosen.only:
                rest = [name, "{shown}", "{out}/metrics.json", str(seed), goal]
                key = f"{name}/seed-{seed}"

                def cell(key: str, command: list[str], seed: int = seed) -> None:
                    benchmark.cell(key, command, seed, "metrics.json", shown=shown)

                cell(f"lightrec/{key}", [*own, *rest, str(LIMIT)])
                if name in PEERS and not chosen.no_peer:
                    # The environment is only made where the cell has yet to be measured.
                    made = benchmark.has(f"imitation/{key}")
                    python = "" if made else environment("imitation", HERE / "requirements")
                    cell(f"imitation/{key}", [python, script, *rest, str(LIMIT)])
                if name in CONTROLS:
                    cell(f"control/{key}", [*own, *rest, str(CONTROL_LIMIT), "--control"])
    benchmark.numbers = numbers(benchmark.cells)
    benchmark.write()
    print(table(benchmark.cells))
    for key, value in benchmark.numbers.items():
        print(f"{key}: {value:.3f}")


if __name__ == "__main__":
    main()
