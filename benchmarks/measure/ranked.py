"""How a run ranks the held-out log: the blend, its ranker, and every item model."""

import time

from benchmarks.measure import Cell
from lightrec.evaluation.held_out import HeldOutLog


def measure(cell: Cell) -> dict[str, float]:
    """Train the ranker; the seed is taken by the run's options where they name one."""
    run = cell.run(*cell.options, "--until", "ranker")
    seconds = round(time.process_time(), 1)
    metrics = dict(HeldOutLog(max_events=None).without_policy(run, 0))
    return metrics | run.metrics("ranker") | {"encoder_cpu_seconds": seconds}
