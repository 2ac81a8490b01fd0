"""lightrec's learners and the package `imitation`, in turn, on the same 60 trajectories.

Then what rewards' signs bring where sessions end by themselves, and AIRL on people's choices.

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
from benchmarks.imitation.learners import FORMS, VARIANTS
from benchmarks.imitation.table import controls, forms, numbers, table
from benchmarks.ranking.environments import environment

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
HERE = Path(__file__).parent
GOAL, LIMIT, CONTROL_LIMIT, FORMS_LIMIT = 0.95, 240, 30, 10
PEERS = ("gail", "airl")
CONTROLS = ("gail", "airl", "sqil")
SEEDS = (3, 4, 5)
"""lightrec's settings were chosen on seeds 0 to 2."""


class Run:
    """The cells of one seed.

    :param shown: file of the demonstrations.
    :param goal: return at which a learner has arrived.
    """

    def __init__(self, benchmark: Benchmark, shown: Path, goal: float, seed: int) -> None:
        self.benchmark, self.shown, self.goal, self.seed = benchmark, shown, goal, seed

    def own(self, key: str, name: str, limit: float, *options: str) -> None:
        """Measure one of lightrec's learners."""
        self._cell(
            key, [sys.executable, "-m", "benchmarks.imitation.learners"], name, limit, options
        )

    def peer(self, key: str, name: str) -> None:
        """Measure one of the package's; its environment is only made for a cell to be measured."""
        whole = f"{key}/seed-{self.seed}"
        made = self.benchmark.has(whole)
        python = "" if made else environment("imitation", HERE / "requirements")
        script = os.path.relpath(HERE / "peers" / "imitation_learners.py")
        self._cell(key, [python, script], name, LIMIT, ())

    def _cell(
        self, key: str, program: list[str], name: str, limit: float, options: tuple[str, ...]
    ) -> None:
        rest = [name, "{shown}", "{out}/metrics.json", str(self.seed), str(self.goal), str(limit)]
        self.benchmark.cell(
            f"{key}/seed-{self.seed}",
            [*program, *rest, *options],
            self.seed,
            "metrics.json",
            shown=self.shown,
        )

    def learners(self, names: list[str], peer: bool) -> None:
        """Measure learners, the package's own in turn with ours, and the controls."""
        for name in names:
            self.own(f"lightrec/{name}", name, LIMIT)
            if name in PEERS and peer:
                self.peer(f"imitation/{name}", name)
            if name in CONTROLS:
                self.own(f"control/{name}", name, CONTROL_LIMIT, "--control")

    def forms(self) -> None:
        """Measure what the rewards' sign alone brings where sessions end by themselves."""
        for ending in ("leave", "absorbing"):
            for form in FORMS:
                key = f"forms/{ending}/{form}"
                self.own(f"{key}/demonstrations", form, FORMS_LIMIT, "--ending", ending)
                self.own(f"{key}/control", form, FORMS_LIMIT, "--ending", ending, "--control")

    def choices(self) -> None:
        """Measure AIRL's reward on people's choices in the world `far`."""
        program = [sys.executable, "-m", "benchmarks.imitation.choices", "{out}/metrics.json"]
        key = f"choices/airl/seed-{self.seed}"
        self.benchmark.cell(key, [*program, str(self.seed)], self.seed, "metrics.json")


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imitation")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    benchmark = Benchmark("imitation")
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "demonstrations.npz"
        goal = GOAL * record(shown)
        for seed in chosen.seeds:
            Run(benchmark, shown, goal, seed).learners(chosen.only, not chosen.no_peer)
        first = Run(benchmark, shown, goal, chosen.seeds[0])
        first.forms()
        first.choices()
    benchmark.numbers = numbers(benchmark.cells)
    benchmark.write()
    print(table(benchmark.cells), controls(benchmark.cells), forms(benchmark.cells), sep="\n\n")
    for key, value in benchmark.numbers.items():
        print(f"{key}: {value:.3f}")


if __name__ == "__main__":
    main()
