"""A public log as papers rank it: the last events of all users among all items."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.data.domain import LogMask, Showable
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog, item_models
from lightrec.evaluation.slices import cold_metrics
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import RankingResult, mean_ranks
from lightrec.run import Run

METRICS = ("ndcg@10", "recall@10")
EVENTS = 4_000
WAYS = {"map": "together", "text": "history"}
Scores = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@torch.no_grad()
def ranks(events: EvaluationEvents, score: Scores, showable: Showable) -> dict[str, RankingResult]:
    """Rank events by the scores that several recommenders give to a batch, by their names.

    Names that begin with ``kept/`` are of items already seen ranked, too; none is of items that may
    not be shown.
    """
    pieces: dict[str, list[Tensor]] = {}
    for batch in events:
        allowed = showable(batch[Key.USER], batch[Key.END])
        for name, given in score(batch).items():
            for kind, seen in (("", batch[Key.SEEN]), ("kept/", None)):
                found = mean_ranks(given, batch[Key.TARGET], seen, allowed)
                pieces.setdefault(f"{kind}{name}", []).append(found)
    about = [*map(torch.from_numpy, (events.users, events.targets))]
    return {name: RankingResult(*about, torch.cat(own)) for name, own in pieces.items()}


@torch.no_grad()
def ranked(run: Run) -> dict[str, RankingResult]:
    """Rank the test events with the blend, the weighted sum that it begins with, and each part."""
    blend = run.blend
    every = {RANKER: blend.ranker} | dict(item_models(run))
    others = {name: each for name, each in every.items() if name not in blend.parts}

    def score(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        history = batch[Key.HISTORY]
        total, scores = blend.summed(history, batch)
        scores |= {name: model.scores(history, details=batch) for name, model in others.items()}
        return scores | {"sum": total, "blend": blend.again(total, scores, history)}

    return ranks(HeldOutLog(None).events(run.data, 0), score, LogMask(run.data))


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


def every_model(cell: Cell) -> dict[str, float]:
    """Train the ranker, and rank with it, the blend and every item model.

    The seed is taken by the run's options where they name one.
    """
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
    found = cold_metrics(run.data, run.blend, dict(item_models(run)), 256, EVENTS, cell.seed)
    keys = {way: f"cold/{name}/recall@10" for name, way in WAYS.items()}
    return {way: found[key] for way, key in keys.items() if key in found}
