"""The evaluator of the held-out log, for what a run learned and for anybody's predictions."""

from pathlib import Path

import torch

from lightrec.data.readers.predictions import read_predictions
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, EventStore
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.baselines import (
    PopularityScorer,
    PredictionScorer,
    RandomScorer,
)
from lightrec.evaluation.ranking import RankingResult, Scorer, evaluate_scores
from lightrec.keys import Column, Key
from lightrec.modules.sequences import EvaluationEvents
from lightrec.nn.ranker import Ranker
from lightrec.pipeline.held_out_metrics import LIST_LENGTH, advantage, held_out_metrics
from lightrec.policies.candidate import CandidatePolicy


class HeldOutLog(Evaluator):
    """Ranks all items for the test events: encoder, policy, popularity, random.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param batch_size: events ranked at once.
    """

    def __init__(self, max_events: int | None = 20_000, batch_size: int = 256) -> None:
        self.max_events, self.batch_size = max_events, batch_size

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``test/<contender>/<metric>@<k>``, and the encoder's as ``test/<metric>@<k>``.

        Beside them each contender's slices and recommendations, and the encoder's advantage.
        """
        store = EventStore.open(run / "data")
        ranker = Ranker.from_pretrained(run / "encoder").eval()
        policy = CandidatePolicy.from_pretrained(run / "policy").eval()
        table = ranker.item_vectors()
        scorers: dict[str, Scorer] = {
            "encoder": lambda batch: ranker.scores(batch[Key.HISTORY], table),
            "policy": lambda batch: policy.scores(batch[Key.HISTORY]),
            "popularity": PopularityScorer(torch.from_numpy(store.popularity())),
            "random": RandomScorer(store.num_items, seed),
        }
        metrics: dict[str, float] = {}
        results: dict[str, RankingResult] = {}
        for name, scorer in scorers.items():
            result = results[name] = self.rank(store, scorer, ranker.max_length, seed)
            found = held_out_metrics(store, result)
            metrics |= {f"test/{name}/{metric}": value for metric, value in found.items()}
            if name == "encoder":
                metrics |= {f"test/{metric}": value for metric, value in result.metrics().items()}
                metrics["test/events"] = len(result.ranks)
        gained = advantage(results["encoder"], results["popularity"], seed)
        return metrics | {f"test/encoder-minus-popularity/{k}": v for k, v in gained.items()}

    def rank(self, store: EventStore, scorer: Scorer, max_length: int, seed: int) -> RankingResult:
        """Rank the test events with one scorer, seen items left out unless items repeat."""
        events = EvaluationEvents(
            Sequences.all_events(store), TEST, max_length, self.batch_size, self.max_events, seed
        )
        batches = (events[index] for index in range(len(events)))
        return evaluate_scores(
            scorer, batches, filter_seen=not store.repeats, list_length=LIST_LENGTH
        )


def predictions_scorer(path: Path, store: EventStore) -> PredictionScorer:
    """Make a scorer of a file of predictions.

    :param path: CSV or Parquet with ``user``, ``item`` and ``score``, or ``rank`` (1 is best).
    :raises DataError: where the file cannot be read or does not fit the log.
    """
    return PredictionScorer(read_predictions(path), store.user_ids, store.catalog[Column.ITEM])
