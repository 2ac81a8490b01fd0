"""A generator on one log: how it ranks the test events by its exact law."""

import time

import torch
from lightrec_generate.generator import Generator

from benchmarks.measure import Cell
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.keys import Key
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import by_history

METRICS = ("ndcg@10", "recall@10")


@torch.no_grad()
def measure(cell: Cell) -> dict[str, float]:
    """Train, and rank the test events with seen items removed, and kept."""
    began = time.process_time()
    run = cell.run("generator-alone", *cell.options)
    metrics = {"training/cpu_seconds": time.process_time() - began, **run.metrics("generator")}
    generator = Generator.load(run.folder("generator"))
    events = HeldOutLog(None).events(run.data, cell.seed)
    began = time.process_time()
    for batch in events:
        generator.scores(batch[Key.HISTORY])
    metrics["ms a user"] = 1e3 * (time.process_time() - began) / len(events.events)
    nothing_seen = ({**batch, Key.SEEN: batch[Key.SEEN][:, :0]} for batch in events)
    for name, batches in (("removed", events), ("kept", nothing_seen)):
        found = evaluate_scores(by_history(generator), batches).metrics()
        metrics |= {f"{name}/{metric}": found[metric] for metric in METRICS}
    return metrics
