"""A public log as papers rank it: the last events of all users among all items."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.evaluation.base import keys_of
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import RankingResult, mean_ranks

METRICS = ("ndcg@10", "recall@10")
SUM = "sum"


@torch.no_grad()
def ranked(
    blend: Blend, events: EvaluationEvents, scored: Callable[[Mapping[str, Tensor]], dict]
) -> dict[str, RankingResult]:
    """Rank events by several scores, whose parts are computed once; under ``kept/`` with seen items."""
    pieces: dict[str, list[Tensor]] = {}
    users, targets = [], []
    for batch in events:
        users.append(batch[Key.USER])
        targets.append(batch[Key.TARGET])
        for name, scores in scored(batch).items():
            for kind, seen in (("", batch[Key.SEEN]), ("kept/", None)):
                ranks = mean_ranks(scores, batch[Key.TARGET], seen)
                pieces.setdefault(kind + name, []).append(ranks)
    about = torch.cat(users), torch.cat(targets)
    return {name: RankingResult(*about, torch.cat(ranks)) for name, ranks in pieces.items()}


def measure(cell: Cell) -> dict[str, float | str]:
    """Train by the shipped recipe, and rank the test events with the blend and all its parts."""
    began = time.process_time()
    run = cell.run(*cell.options, "--until", "ranker")
    metrics: dict[str, float | str] = {"cpu_seconds": round(time.process_time() - began)}
    blend = run.blend
    events = EvaluationEvents(Sequences.all_events(run.data), TEST, None, 256, None, 0)

    def scored(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        history = batch[Key.HISTORY]
        total, parts = blend.summed(history, batch)
        return {**parts, SUM: total, "blend": blend.again(total, parts, history)}

    results = ranked(blend, events, scored)
    for name, result in results.items():
        values = result.metrics()
        metrics |= {f"test/{name}/{metric}": values[metric] for metric in METRICS}
    for name in {*blend.parts, SUM, RANKER} & results.keys():
        ahead = results["blend"].bootstrap(results[name], seed=cell.seed)
        metrics |= keys_of(f"test/blend-minus-{name}/ndcg@10", ahead)
    metrics |= {f"weight/{name}": weight for name, weight in blend.weights.items()}
    metrics["epoch"] = run.metrics("ranker").get("best_epoch", -1)
    return metrics | {"events": len(events.events), "chosen": blend.chosen}
