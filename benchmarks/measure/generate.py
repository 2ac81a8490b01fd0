"""A generator on one log: how it ranks the test events by its exact law."""

import time
from collections.abc import Mapping

import torch
from lightrec_generate.generator import Generator
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.keys import Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import evaluate_scores

METRICS = ("ndcg@10", "recall@10")


@torch.no_grad()
def measure(cell: Cell) -> dict[str, float]:
    """Train, and rank the test events with seen items removed, and kept."""
    began = time.process_time()
    run = cell.run("generator-alone", *cell.options)
    metrics = {"training/cpu_seconds": time.process_time() - began, **run.metrics("generator")}
    generator = Generator.load(run.folder("generator"))
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, None, cell.seed)
    began = time.process_time()
    for batch in events:
        generator.scores(batch[Key.HISTORY])
    metrics["ms a user"] = 1e3 * (time.process_time() - began) / len(events.events)
    off: list[float] = []

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        law = generator.scores(batch[Key.HISTORY])
        off.append(float((law.double().exp().sum(1) - 1).abs().max()))
        return law

    nothing_seen = ({**batch, Key.SEEN: batch[Key.SEEN][:, :0]} for batch in events)
    for name, batches in (("removed", events), ("kept", nothing_seen)):
        result = evaluate_scores(scores, batches)
        metrics |= {f"{name}/{metric}": result.metrics()[metric] for metric in METRICS}
    return metrics | {"events": len(events.events), "off one": max(off)}
