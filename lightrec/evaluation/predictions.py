"""Predictions of another recommender, ranked by the protocol of a run.

A file may leave out users, and it may have been made after the held-out events. Both are reported:
the users in the file are scored apart from all, and events that a file knows are not judged.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightrec.data.readers.predictions import read_predictions
from lightrec.data.store import EventStore
from lightrec.errors import DataError
from lightrec.evaluation.baselines import PredictionScorer
from lightrec.evaluation.held_out import HeldOutLog, by_history
from lightrec.evaluation.held_out_metrics import held_out_metrics
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Column
from lightrec.ranking.blend import Blend
from lightrec.ranking.metrics import RankingResult
from lightrec.run import Run

COMPARED = "ndcg@10"
"""The metric that has intervals."""


def evaluate_predictions(run: Path, path: Path) -> dict[str, float]:
    """Rank predictions by the protocol of a run that has at least a ranker.

    :param run: a run folder.
    :param path: CSV or Parquet with ``user``, ``item``, ``score`` or ``rank``, and perhaps
        ``known_events``.
    :returns: ``test/predictions/<metric>`` and ``test/blend/<metric>`` over all tested users,
        slices and recommendations included; and ``predictions/users``, ``predictions/present``,
        ``predictions/known`` (numbers of users), ``predictions/listed`` (how many held-out items
        the lists hold) and ``predictions/<present or all>/<who>/ndcg@10`` with ``/low`` and
        ``/high``, where ``who`` is ``predictions``, ``blend`` or ``difference``.
    :raises DataError: where the file cannot be read, does not fit the log, or holds nothing that
        can be judged.
    :raises RunError: where the run lacks a ranker, or its stages do not belong together.
    """
    Run(run).check("ranker", "data")
    store = EventStore.open(run / "data")
    scorer = PredictionScorer(read_predictions(path), store.user_ids, store.catalog[Column.ITEM])
    evaluator, seed = protocol(run)
    tested = evaluator.events(store, seed)
    users = torch.from_numpy(tested.users)
    targets = torch.from_numpy(tested.targets.astype(np.int64))
    places = torch.from_numpy(tested.events - tested.sequences.offsets[tested.users])
    covered = scorer.covers[users]
    known = covered & (scorer.known_events[users] > places)
    judged = covered & ~known
    if not judged.any():
        raise DataError(unjudged(run, int(known.sum()), len(users.unique())), path)
    results = {
        "predictions": evaluator.rank(store, scorer, seed),
        "blend": evaluator.rank(store, by_history(Blend.load(run / "ranker")), seed),
    }
    own = results["predictions"]
    # What a list already knows it cannot foretell: a miss, where all events are scored.
    results["predictions"] = replace(own, ranks=own.ranks.masked_fill(known, torch.inf))
    metrics: dict[str, float] = {
        "predictions/users": len(users.unique()),
        "predictions/present": len(users[judged].unique()),
        "predictions/known": len(users[known].unique()),
        "predictions/listed": int(scorer.lists(users, targets)[judged].sum()),
    }
    for name, result in results.items():
        found = held_out_metrics(store, result)
        metrics |= {f"test/{name}/{key}": value for key, value in found.items()}
    for name, rows in (("present", judged), ("all", torch.ones_like(judged))):
        compared = compare(results["predictions"], results["blend"], rows, seed)
        metrics |= {f"predictions/{name}/{key}": value for key, value in compared.items()}
    return metrics


def protocol(run: Path) -> tuple[HeldOutLog, int]:
    """Give the evaluator of a run's held-out log and its seed, by default where it has none."""
    if not Run(run).has("evaluate"):
        return HeldOutLog(), 0
    made = Run(run).stamp("evaluate")
    names = ("HeldOutLog", f"{HeldOutLog.__module__}.HeldOutLog")
    own = [e for e in made["recipe"].get("evaluators") or [] if e["class_path"] in names]
    return HeldOutLog(**(own[0].get("init_args", {}) if own else {})), made["seed"]


def unjudged(run: Path, known: int, users: int) -> str:
    """Say why no held-out event can be judged, and what to do."""
    if not known:
        return (
            f"None of the {users:,} users with held-out events is in the file. Write lists for "
            "users who have test events."
        )
    return (
        f"The lists were made from histories that already hold the held-out events ({known:,} of "
        "them, by the column known_events), so that they cannot be judged on these events. Make a "
        "file that can be judged with "
        f"`lightrec recommend {run} --all --before test --out FILE`."
    )


def compare(
    predictions: RankingResult, blend: RankingResult, rows: Tensor, seed: int
) -> dict[str, float]:
    """Score predictions and blend on the same events, users drawn anew for 95 % intervals.

    :param rows: (E,) bool, the events that count.
    """
    values = {
        "predictions": predictions.per_event([10])[COMPARED],
        "blend": blend.per_event([10])[COMPARED],
        "difference": predictions.paired(blend, COMPARED),
    }
    found: dict[str, float] = {}
    for name, numbers in values.items():
        mean, low, high = bootstrap_interval(numbers[rows], predictions.users[rows], seed=seed)
        key = f"{name}/{COMPARED}"
        found |= {key: mean, f"{key}/low": low, f"{key}/high": high}
    return found
