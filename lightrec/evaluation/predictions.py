"""Predictions of another recommender, ranked by the protocol of a run.

A file may leave out users, and it may have been made after the held-out events. Both are reported:
the users in the file are scored apart from all, and events that a file knows are not judged.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.readers.predictions import SCORE, read_predictions
from lightrec.errors import DataError
from lightrec.evaluation.base import Metrics, Table, interval, keys_of, spread
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.evaluation.slices import held_out_metrics
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Column, Key
from lightrec.ranking.scorers import by_history
from lightrec.run import Run

COMPARED = "ndcg@10"
"""The metric that has intervals."""
WHO = {
    "predictions": "your predictions",
    "blend": "blend",
    "difference": "your predictions − blend",
}


def evaluate_predictions(run: Run, path: Path) -> dict[str, float]:
    """Rank predictions by the protocol of a run that has at least a ranker.

    :param path: CSV or Parquet with ``user``, ``item``, ``score`` or ``rank``, and perhaps
        ``known_events``.
    :returns: ``test/predictions/…`` and ``test/blend/…`` over all tested users, numbers of users
        and held-out items listed, and ``predictions/present/WHO/ndcg@10`` (or ``all``).
    :raises DataError: where the file cannot be read, or nothing in it can be judged on this log.
    :raises RunError: where the run lacks a ranker, or its stages do not belong together.
    """
    store, blend = run.data, run.blend
    scorer = PredictionScorer(read_predictions(path), store.user_ids, store.catalog[Column.ITEM])
    evaluator, seed = protocol(run)
    tested = evaluator.events(store, seed)
    users = torch.from_numpy(tested.users)
    targets = torch.from_numpy(tested.targets.astype(np.int64))
    places = torch.from_numpy(tested.events - tested.sequences.offsets[tested.users])
    covered = scorer.covers[users]
    revealed = covered & (scorer.known_events[users] > places)
    judged = covered & ~revealed
    if not judged.any():
        if not revealed.any():
            raise DataError(
                f"None of the {len(users.unique()):,} users with held-out events is in the file. "
                "Write lists for users who have test events.",
                path,
            )
        raise DataError(
            f"The lists were made from histories that already hold the held-out events "
            f"({int(revealed.sum()):,} of them, by the column known_events), so that they cannot "
            "be judged on these events. Make a file that can be judged with "
            f"`lightrec recommend {run.path} --all --before test --out FILE`.",
            path,
        )
    predicted, other = (evaluator.rank(store, each, seed) for each in (scorer, by_history(blend)))
    # What a list already knows it cannot predict: a miss, where all events are scored.
    predicted = replace(predicted, ranks=predicted.ranks.masked_fill(revealed, torch.inf))
    results = {"predictions": predicted, "blend": other}
    listed = torch.isin(users * scorer.width + targets, scorer.pairs)
    metrics: dict[str, float] = {
        "predictions/users": len(users.unique()),
        "predictions/present": len(users[judged].unique()),
        "predictions/known": len(users[revealed].unique()),
        "predictions/listed": int(listed[judged].sum()),
    }
    for name, result in results.items():
        metrics |= held_out_metrics(store, result, f"test/{name}/")
    values = {name: result.per_event([10])[COMPARED] for name, result in results.items()}
    values["difference"] = predicted.paired(other, COMPARED)
    for part, rows in (("present", judged), ("all", torch.ones_like(judged))):
        for name, numbers in values.items():
            # Users are drawn again for 95 % intervals.
            ends = bootstrap_interval(numbers[rows], users[rows], seed=seed)
            metrics |= keys_of(f"predictions/{part}/{name}/{COMPARED}", ends)
    return metrics


def protocol(run: Run) -> tuple[HeldOutLog, int]:
    """The evaluator of a run's held-out log and its seed, by default where it has none."""
    if not run.has("evaluate"):
        return HeldOutLog(), 0
    made = run.stamp("evaluate")
    names = ("HeldOutLog", f"{HeldOutLog.__module__}.HeldOutLog")
    evaluators = [e for e in made["recipe"].get("evaluators") or [] if e["class_path"] in names]
    return HeldOutLog(**(evaluators[0].get("init_args", {}) if evaluators else {})), made["seed"]


class PredictionScorer:
    """Scores from a table of predictions, as another recommender gives them.

    Items that a user's rows do not list share the last place.

    :param predictions: as :func:`~lightrec.data.readers.predictions.read_predictions` gives them;
        ``known_events`` says how many of the user's events a list was made from.
    :param user_ids: the users' own ids, in row order.
    :param item_ids: the items' own ids, item 1 first.
    :raises DataError: where no row fits the log. Rows about users or items that the prepared log
        does not have are passed over.
    """

    def __init__(self, predictions: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> None:
        users = pl.DataFrame({Column.USER: user_ids.cast(pl.String)}).with_row_index("row")
        items = pl.DataFrame({Column.ITEM: item_ids.cast(pl.String)}).with_row_index("index", 1)
        listed = predictions.with_columns(pl.col(Column.USER, Column.ITEM).cast(pl.String))
        pairs = listed.join(users, on=Column.USER).join(items, on=Column.ITEM).sort("row", "index")
        if pairs.is_empty():
            first = [repr(ids[0]) if len(ids) else "(none)" for ids in (user_ids, item_ids)]
            raise DataError(
                "None of the predictions is about a user and an item of the prepared log: compare "
                f"the ids, which are such as user {first[0]} and item {first[1]}."
            )
        rows = pairs.get_column("row").cast(pl.Int64).to_torch()
        self.width = len(item_ids) + 1
        self.pairs = rows * self.width + pairs.get_column("index").cast(pl.Int64).to_torch()
        """(P,) int64, ascending: the listed pairs of a user's row and an item."""
        self.values = pairs.get_column(SCORE).cast(pl.Float64).to_torch()
        self.covers = rows.bincount(minlength=len(user_ids)) > 0
        """(U,) bool: which of the log's users have predictions."""
        self.known_events = torch.zeros(len(user_ids), dtype=torch.int64)
        """(U,) int64: how many of a user's events the list was made from; 0 where none says."""
        if Column.KNOWN_EVENTS in pairs.columns:
            self.known_events[rows] = pairs.get_column(Column.KNOWN_EVENTS).to_torch()

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Scores (B, N + 1), the lowest to all that is not listed."""
        pairs = batch[Key.USER].cpu()[:, None] * self.width + torch.arange(self.width)
        place = torch.searchsorted(self.pairs, pairs).clamp_max(len(self.pairs) - 1)
        scores = self.values[place].where(self.pairs[place] == pairs, self.values.min() - 1)
        return scores.to(batch[Key.USER].device)


def lines(metrics: Metrics) -> str:
    """Set the scores of predictions, if there are any, and say what the file lacks."""
    if "predictions/users" not in metrics:
        return ""
    users, present, revealed, listed = (
        int(metrics[f"predictions/{key}"]) for key in ("users", "present", "known", "listed")
    )
    columns = {"present": f"the {present:,} in the file"} if present < users else {}
    columns["all"] = f"all {users:,} tested users"
    rows = []
    for who, title in WHO.items():
        ends = (interval(metrics, f"predictions/{part}/{who}/{COMPARED}") for part in columns)
        form = "+.3f" if who == "difference" else ".3f"
        rows.append([title, *(spread(each, form) for each in ends)])
    shown = [Table(["NDCG@10 (95 %)", *columns.values()], rows).text()]
    if present < users:
        shown.append(
            f"\nYour file can be judged for {present:,} of the {users:,} users with held-out "
            f"events ({present / users:.0%}); among all users the others count as failures."
        )
    if revealed:
        shown.append(
            f"The lists of {revealed:,} users were made from histories that contain held-out "
            "events; those events are not judged, and count as failures among all users. Make the "
            "file with `lightrec recommend RUN --all --before test`."
        )
    if not listed:
        shown.append(
            "No list holds a held-out item of its user. Lists that were made from the whole log "
            "and leave out what a user has seen cannot hold one: make them from the events before."
        )
    return "\n".join(shown)
