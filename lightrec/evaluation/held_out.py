"""The evaluator of the held-out log; predictions of others are in ``predictions.py``."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lightrec.data.eligibility import showable
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, EventStore
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.baselines import PopularityScorer, RandomScorer
from lightrec.evaluation.held_out_cold import cold_metrics
from lightrec.evaluation.held_out_metrics import LIST_LENGTH, advantage, held_out_metrics
from lightrec.keys import Key
from lightrec.policies.base import Policy, session_start
from lightrec.ranking.blend import Blend, described_models
from lightrec.ranking.item_models.base import (
    Evidence,
    ItemModel,
    NotApplicable,
    Popularity,
    RecentPopularity,
)
from lightrec.ranking.metrics import RankingResult, Scorer, evaluate_scores
from lightrec.ranking.sequence_data import EvaluationEvents


class HeldOutLog(Evaluator):
    """Ranks all items for the test events: blend, its ranker alone, policy, item models, random.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param batch_size: events ranked at once.
    """

    def __init__(self, max_events: int | None = 20_000, batch_size: int = 256) -> None:
        self.max_events, self.batch_size = max_events, batch_size

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``test/<contender>/<metric>@<k>``, and the blend's as ``test/<metric>@<k>``.

        Where the domain forbids held-out items, ``test/ineligible_events`` says how many. Beside
        them each contender's slices and recommendations, and the blend's advantage over
        each as ``test/blend-minus-<contender>/ndcg@10``.
        """
        store = EventStore.open(run / "data")
        blend = Blend.load(run / "ranker")
        models = item_models(run, store, blend)
        scorers: dict[str, Scorer] = {
            "blend": by_history(blend),
            "popularity": PopularityScorer(torch.from_numpy(store.popularity())),
            "random": RandomScorer(store.num_items, seed),
        }
        if (run / "policy").is_dir():
            # A run may have ended with the ranker.
            policy = Policy.load(run / "policy")
            scorers["policy"] = by_history(policy)
        if models:
            scorers["ranker"] = by_history(Blend(blend.ranker).freeze())
        scorers |= {name: by_history(model) for name, model in models.items()}
        metrics: dict[str, float] = {}
        results: dict[str, RankingResult] = {}
        for name, scorer in scorers.items():
            result = results[name] = self.rank(store, scorer, seed)
            found = held_out_metrics(store, result)
            metrics |= {f"test/{name}/{metric}": value for metric, value in found.items()}
            if name == "blend":
                metrics |= {f"test/{metric}": value for metric, value in result.metrics().items()}
                metrics["test/events"] = len(result.ranks)
                if result.ineligible:
                    metrics["test/ineligible_events"] = result.ineligible
        for name in ("popularity", *models):
            gained = advantage(results["ranker"], results[name], seed)
            metrics |= {f"test/blend-minus-{name}/{k}": v for k, v in gained.items()}
        return metrics | cold_metrics(store, blend, models, self.batch_size, self.max_events, seed)

    def events(self, store: EventStore, seed: int) -> EvaluationEvents:
        """Give the test events that are ranked, in the order of :meth:`rank`."""
        return EvaluationEvents(
            Sequences.all_events(store), TEST, None, self.batch_size, self.max_events, seed
        )

    def rank(self, store: EventStore, scorer: Scorer, seed: int) -> RankingResult:
        """Rank the test events with one scorer, seen items left out unless items repeat.

        What the domain forbids a user is not ranked; an event about such an item is a miss.
        """
        events = self.events(store, seed)
        batches = (events[index] for index in range(len(events)))
        return evaluate_scores(
            scorer,
            batches,
            filter_seen=not store.repeats,
            list_length=LIST_LENGTH,
            showable=showable(store),
        )


class ScoresHistories(Protocol):
    """Whatever scores all items for whole histories."""

    def scores(self, history: Tensor) -> Tensor:
        """Give (B, N + 1) scores."""


def by_history(part: ScoresHistories | Policy) -> Scorer:
    """Make a scorer of batches of what scores histories; a blend reads their details, too."""
    if isinstance(part, Policy):
        return lambda batch: part.scores(session_start(batch[Key.HISTORY], batch.get(Key.USER)))
    if isinstance(part, Blend):
        return lambda batch: part.scores(batch[Key.HISTORY], batch)
    return lambda batch: part.scores(batch[Key.HISTORY])


def item_models(run: Path, store: EventStore, blend: Blend) -> dict[str, ItemModel]:
    """The item models of a run's blend with the settings chosen there.

    Those that take part in the blend are there; the others are fitted again. Popularity, which
    every report has, is left out.
    """
    evidence = Evidence.of(store, blend.ranker.items.vectors)
    models: dict[str, ItemModel] = {}
    for name, model in described_models(run / "ranker").items():
        if isinstance(model, Popularity) and not isinstance(model, RecentPopularity):
            continue
        with suppress(NotApplicable):
            models[name] = (
                blend.item_model(name) if name in blend.item_models else model.fit(evidence)
            )
    return models
