"""How a run ranks the held-out log: the blend, its ranker, and every item model."""

import time

from benchmarks.measure import Cell
from lightrec.evaluation.held_out import HeldOutLog, item_models
from lightrec.evaluation.slices import cold_metrics

EVENTS = 4_000
WAYS = {"map": "together", "text": "history"}


def measure(cell: Cell) -> dict[str, float]:
    """Train the ranker; the seed is taken by the run's options where they name one."""
    run = cell.run(*cell.options, "--until", "ranker")
    seconds = round(time.process_time(), 1)
    metrics = dict(HeldOutLog(max_events=None).without_policy(run, 0))
    return metrics | run.metrics("ranker") | {"encoder_cpu_seconds": seconds}


def cold(cell: Cell) -> dict[str, float]:
    """Recall@10 of items never seen, each among these alone: what a run does, and similar texts.

    By the shipped recipe without its transformer.
    """
    seed = ["--data.split", "item-cold", "--data.seed", str(cell.seed)]
    run = cell.run(*cell.options, *seed, "--ranker.trainer.max_epochs", "0", "--until", "ranker")
    found = cold_metrics(run.data, run.blend, item_models(run), 256, EVENTS, cell.seed)
    keys = {way: f"cold/{name}/recall@10" for name, way in WAYS.items()}
    return {way: found[key] for way, key in keys.items() if key in found}
