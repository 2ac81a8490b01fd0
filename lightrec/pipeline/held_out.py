"""The evaluator of the held-out log, for what a run learned and for anybody's predictions."""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.store import TEST, EventStore
from lightrec.errors import DataError
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.ranking import RankingResult, Scorer, evaluate_scores
from lightrec.keys import Column, Key
from lightrec.modules.sequences import EvaluationEvents, Sequences
from lightrec.nn.ranker import Ranker
from lightrec.policies.candidate import CandidatePolicy


class HeldOutLog(Evaluator):
    """Ranks all items for the test events: encoder, policy, popularity, random.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param batch_size: events ranked at once.
    """

    def __init__(self, max_events: int | None = 20_000, batch_size: int = 256) -> None:
        self.max_events, self.batch_size = max_events, batch_size

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``test/<contender>/<metric>@<k>``, and the encoder's as ``test/<metric>@<k>``."""
        store = EventStore.open(run / "data")
        ranker = Ranker.from_pretrained(run / "encoder").eval()
        policy = CandidatePolicy.from_pretrained(run / "policy").eval()
        popularity = torch.from_numpy(store.popularity()).float()
        generator = torch.Generator().manual_seed(seed)
        table = ranker.item_vectors()
        scorers: dict[str, Scorer] = {
            "encoder": lambda batch: ranker.scores(batch[Key.HISTORY], table),
            "policy": lambda batch: policy.scores(batch[Key.HISTORY]),
            "popularity": lambda batch: popularity.expand(len(batch[Key.HISTORY]), -1),
            "random": lambda batch: torch.rand(
                len(batch[Key.HISTORY]), len(popularity), generator=generator
            ),
        }
        metrics: dict[str, float] = {}
        for name, scorer in scorers.items():
            result = self.rank(store, scorer, ranker.max_length, seed)
            found = result.metrics()
            metrics |= {f"test/{name}/{metric}": value for metric, value in found.items()}
            if name == "encoder":
                metrics |= {f"test/{metric}": value for metric, value in found.items()}
                metrics["test/events"] = len(result.ranks)
        return metrics

    def rank(self, store: EventStore, scorer: Scorer, max_length: int, seed: int) -> RankingResult:
        """Rank the test events with one scorer, seen items left out unless items repeat."""
        events = EvaluationEvents(
            Sequences.all_events(store), TEST, max_length, self.batch_size, self.max_events, seed
        )
        batches = (events[index] for index in range(len(events)))
        return evaluate_scores(scorer, batches, filter_seen=not store.meta["settings"]["repeats"])


def predictions_scorer(path: Path, store: EventStore) -> Scorer:
    """Make a scorer of a table of predictions.

    :param path: CSV or Parquet with ``user``, ``item`` and ``score``, or ``rank`` (1 is best).
        Items that a user's rows do not list share the last place.
    :raises DataError: where columns are missing or no row fits the log.
    """
    if not path.is_file():
        raise DataError("The file of predictions does not exist.", source=path)
    try:
        table = (
            pl.read_parquet(path)
            if path.suffix == ".parquet"
            else pl.read_csv(
                path, schema_overrides={Column.USER: pl.String, Column.ITEM: pl.String}
            )
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"The predictions cannot be read: {error}", source=path) from error
    wanted = next((name for name in ("score", "rank") if name in table.columns), None)
    if wanted is None or not {Column.USER, Column.ITEM} <= set(table.columns):
        raise DataError(
            f"Found the columns {', '.join(table.columns)}; expected user, item and score (or "
            "rank, 1 for the best).",
            source=path,
        )
    users = pl.DataFrame({Column.USER: store.user_ids}).with_row_index("row")
    items = store.catalog.select(Column.ITEM).with_row_index("index", offset=1)
    known = (
        table.with_columns(pl.col(Column.USER, Column.ITEM).cast(pl.String))
        .join(users, on=Column.USER)
        .join(items, on=Column.ITEM)
        .sort("row", maintain_order=True)
    )
    if not known.height:
        raise DataError(
            f"None of the {table.height} rows names a user and an item of {store.folder}.",
            source=path,
        )
    rows, indices = known["row"].to_numpy(), known["index"].to_numpy()
    values = known[wanted].cast(pl.Float64).to_numpy() * (1 if wanted == "score" else -1)
    bounds = np.searchsorted(rows, np.arange(store.num_users + 1))

    def score(batch: dict[str, Tensor]) -> Tensor:
        scores = torch.full((len(batch[Key.USER]), store.num_items + 1), -torch.inf).double()
        for position, user in enumerate(batch[Key.USER].tolist()):
            own = slice(bounds[user], bounds[user + 1])
            scores[position, indices[own].astype(np.int64)] = torch.from_numpy(values[own])
        return scores

    return score
