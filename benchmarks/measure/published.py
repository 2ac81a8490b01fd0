"""A public log as papers rank it: the last events of all users among all items."""

import time

import torch
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog, item_models
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER
from lightrec.ranking.metrics import RankingResult, mean_ranks
from lightrec.run import Run

METRICS = ("ndcg@10", "recall@10")


@torch.no_grad()
def ranked(run: Run) -> dict[str, RankingResult]:
    """Rank the test events with the blend, the weighted sum that it begins with, and each part.

    Names that begin with ``kept/`` are of items already seen ranked, too.
    """
    blend, pieces = run.blend, dict[str, list[Tensor]]()
    every = {RANKER: blend.ranker} | item_models(run)
    others = {name: each for name, each in every.items() if name not in blend.parts}
    events = HeldOutLog(None).events(run.data, 0)
    for batch in events:
        history = batch[Key.HISTORY]
        total, scores = blend.summed(history, batch)
        scores |= {name: model.scores(history, details=batch) for name, model in others.items()}
        scores |= {"sum": total, "blend": blend.again(total, scores, history)}
        for name, given in scores.items():
            for kind, seen in (("", batch[Key.SEEN]), ("kept/", None)):
                ranks = mean_ranks(given, batch[Key.TARGET], seen)
                pieces.setdefault(f"{kind}{name}", []).append(ranks)
    about = [*map(torch.from_numpy, (events.users, events.targets))]
    return {name: RankingResult(*about, torch.cat(ranks)) for name, ranks in pieces.items()}


def compared(run: Run, seed: int) -> dict[str, float | str]:
    """Metrics of the blend and of each part on the test events; differences are paired by user."""
    results, metrics = ranked(run), dict[str, float | str]()
    for name, result in results.items():
        values = result.metrics()
        metrics |= {f"test/{name}/{metric}": values[metric] for metric in METRICS}
        if "kept/" not in name:
            ahead = results["blend"].bootstrap(result, seed=seed)
            metrics |= keys_of(f"test/blend-minus-{name}/ndcg@10", ahead)
    return metrics | {"test/events": len(results["blend"].ranks), "chosen": run.blend.chosen}


def measure(cell: Cell) -> dict[str, float | str]:
    """Train by the shipped recipe, and rank."""
    began = time.process_time()
    run = cell.run(*cell.options, *cell.settings.get("more", []), "--until", "ranker")
    seconds = round(time.process_time() - began)
    validation = run.metrics("ranker")["validation/ndcg@10"]
    return {"cpu_seconds": seconds, "validation/ndcg@10": validation} | compared(run, cell.seed)
