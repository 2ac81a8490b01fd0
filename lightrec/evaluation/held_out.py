"""The evaluator of the held-out log: how contenders rank the test events, and whom that serves.

Items without training events are in ``cold.py``; predictions of others in ``predictions.py``.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from lightrec.data.domain import showable
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, TRAIN, EventStore
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import Evaluator, Findings
from lightrec.evaluation.beyond_accuracy import (
    SLICES,
    BeyondAccuracy,
    event_slices,
    slice_metrics,
)
from lightrec.evaluation.cold import cold_metrics, cold_section
from lightrec.evaluation.sections import Bars, Section, Table, interval, number, signed
from lightrec.keys import Key
from lightrec.policies.base import Policy, session_start
from lightrec.ranking.blend import Blend, described_models
from lightrec.ranking.item_models.base import (
    Evidence,
    ItemModel,
    Popularity,
    RecentPopularity,
)
from lightrec.ranking.metrics import CUTOFFS, ItemScorer, RankingResult, Scorer, evaluate_scores
from lightrec.ranking.sequence_data import EvaluationEvents
from lightrec.run import Run
from lightrec.simulators import noise

LIST_LENGTH = 10
"""How many recommendations coverage, novelty and popularity are about."""
RANKERS = {
    "blend": "blend",
    "ranker": "its ranker alone",
    "policy": "policy",
    "popularity": "popularity",
    "random": "random",
    "predictions": "your predictions",
}
"""Titles of contenders; item models go by their own names."""
SLICE_TITLES = dict(
    zip(
        SLICES,
        (
            "items with training events",
            "items without training events",
            "popular items (half of all training events)",
            "all other items",
            "users with short histories",
            "users with medium histories",
            "users with long histories",
        ),
        strict=True,
    )
)
RECOMMENDED = {
    "coverage@10": "catalog covered",
    "novelty@10": "novelty (bits)",
    "popularity_percentile@10": "popularity percentile",
    "popularity_ratio@10": "popularity, over that of choices",
}
ADVANTAGE = "test/blend-minus-{}/ndcg@10"


class HeldOutLog(Evaluator):
    """Ranks all items for the test events: blend, its ranker alone, policy, item models, random.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param batch_size: events ranked at once.
    """

    def __init__(self, max_events: int | None = 20_000, batch_size: int = 256) -> None:
        self.max_events, self.batch_size = max_events, batch_size
        self.ranked: Mapping[str, float] | None = None
        """What :meth:`without_policy` gave, where somebody has asked already."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``test/<contender>/<metric>@<k>``, and the blend's as ``test/<metric>@<k>``.

        Where the domain forbids held-out items, ``test/ineligible_events`` says how many. Next to
        them each contender's slices and recommendations, and the blend's advantage over each item
        model as ``test/blend-minus-<contender>/ndcg@10``.
        """
        metrics = dict(self.without_policy(run, seed) if self.ranked is None else self.ranked)
        if run.has("policy"):
            result = self.rank(run.data, by_history(run.policy), seed)
            metrics |= self._described("policy", result, run.data)
        return findings(metrics, run.metrics("ranker"))

    def without_policy(self, run: Run, seed: int) -> dict[str, float]:
        """Rank with all contenders but the policy, which a run has long before it has a policy."""
        store, blend = run.data, run.blend
        models = item_models(run)
        counts = torch.from_numpy(store.popularity())
        scorers: dict[str, Scorer] = {
            "blend": by_history(blend),
            "popularity": lambda batch: counts.double().expand(len(batch[Key.USER]), -1),
            "random": RandomScorer(store.num_items, seed),
        }
        if models:
            scorers["ranker"] = by_history(Blend(blend.ranker).freeze())
        scorers |= {name: by_history(model) for name, model in models.items()}
        results = {name: self.rank(store, scorer, seed) for name, scorer in scorers.items()}
        metrics: dict[str, float] = {}
        for name, result in results.items():
            metrics |= self._described(name, result, store)
        own = results["blend"]
        metrics |= {f"test/{metric}": value for metric, value in own.metrics().items()}
        metrics["test/events"] = len(own.ranks)
        if own.ineligible:
            metrics["test/ineligible_events"] = own.ineligible
        for name in ("popularity", *models):
            gained = advantage(own, results[name], seed)
            metrics |= {f"test/blend-minus-{name}/{k}": v for k, v in gained.items()}
        return metrics | cold_metrics(store, blend, models, self.batch_size, self.max_events, seed)

    def _described(self, name: str, result: RankingResult, store: EventStore) -> dict[str, float]:
        found = held_out_metrics(store, result)
        return {f"test/{name}/{metric}": value for metric, value in found.items()}

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


def by_history(part: ItemScorer | Policy) -> Scorer:
    """Make a scorer of batches of what scores histories."""
    if isinstance(part, Policy):
        return lambda batch: part.scores(session_start(batch[Key.HISTORY], batch.get(Key.USER)))
    return lambda batch: part.scores(batch[Key.HISTORY], batch.get(Key.USER), details=batch)


class RandomScorer:
    """Scores items at random: for each user one order, that follows from the seed alone.

    :param num_items: N.
    :param seed: of the orders.
    """

    def __init__(self, num_items: int, seed: int = 0) -> None:
        self.num_items, self.seed = num_items, seed

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Give (B, N + 1) scores, uniform on [0, 1)."""
        users = batch[Key.USER]
        items = torch.arange(self.num_items + 1, device=users.device)
        key = noise.mix(noise.mix(users.new_full((), self.seed), 0) + users, 0)[:, None]
        return (noise.mix(key + items, 0) & (2**53 - 1)).double() / 2**53


def item_models(run: Run) -> dict[str, ItemModel]:
    """The item models of a run's blend with the settings chosen there.

    Those that take part in the blend are there; the others are fitted again. Popularity, which
    every report has, is left out.
    """
    evidence = Evidence.of(run.data, run.ranker.items.vectors)
    models: dict[str, ItemModel] = {}
    for name, model in described_models(run.folder("ranker")).items():
        if isinstance(model, Popularity) and not isinstance(model, RecentPopularity):
            continue
        with suppress(NotApplicable):
            blended = name in run.blend.item_models
            models[name] = run.blend.item_model(name) if blended else model.fit(evidence)
    return models


def held_out_metrics(store: EventStore, result: RankingResult) -> dict[str, float]:
    """Describe one contender.

    :param result: how it ranked the held-out events, with lists of :data:`LIST_LENGTH` items.
    :returns: flat keys: ``ndcg@10``, ``tail/ndcg@10``, ``tail/events``, ``coverage@10`` and so on.
    """
    counts = torch.from_numpy(store.popularity())
    found = result.metrics()
    if result.lists is not None:
        recommended = BeyondAccuracy(counts, LIST_LENGTH)
        recommended.update(result.lists)
        found |= {name: float(value) for name, value in recommended.compute().items()}
    train = store.events(TRAIN)
    train = train[np.asarray(store.items)[train] <= store.num_items]
    lengths = np.bincount(store.users_of(train), minlength=store.num_users)
    slices = event_slices(result.users, result.targets, counts, torch.from_numpy(lengths))
    return found | slice_metrics(result, slices)


def advantage(
    one: RankingResult, other: RankingResult, seed: int, metric: str = "ndcg@10"
) -> dict[str, float]:
    """Compare two contenders on the same events, by a paired bootstrap over users.

    :param seed: of the bootstrap.
    :returns: the mean difference under the metric's own name, ``/low`` and ``/high`` below it;
        nothing where fewer than two users have held-out events.
    """
    if not len(one.users):
        return {}
    mean, low, high = one.bootstrap(other, metric, seed=seed)
    if not math.isfinite(low):
        return {}
    return {metric: mean, f"{metric}/low": low, f"{metric}/high": high}


def findings(metrics: Mapping[str, float], validation: Mapping[str, float]) -> Findings:
    """Say what the metrics of the held-out log mean.

    :param validation: the metrics of the ranker's stage.
    """
    titles = rankers(metrics)
    values = {title: metrics[f"test/{name}/ndcg@10"] for name, title in titles.items()}
    bars = Bars(values, "test NDCG@10, held-out log", "blend")
    sections = (ranking(metrics), beyond_the_mean(metrics), cold_section(metrics))
    return Findings(
        metrics,
        [section for section in sections if section is not None],
        verdict(metrics, validation),
        ranking_table(metrics).text(),
        [bars],
    )


def rankers(metrics: Mapping[str, float]) -> dict[str, str]:
    """The contenders on the held-out log: titles by names in the metrics, item models by rank."""
    found = {n: t for n, t in RANKERS.items() if f"test/{n}/ndcg@10" in metrics}
    models = sorted(model_names(metrics), key=lambda name: -metrics[f"test/{name}/ndcg@10"])
    own = {name: title for name, title in found.items() if name in ("blend", "ranker", "policy")}
    return {**own, **{name: name for name in models}, **found}


def model_names(metrics: Mapping[str, float]) -> list[str]:
    """The names of the item models in the metrics, besides popularity."""
    pattern = re.compile(r"test/(\w[\w-]*)/ndcg@10")
    names = [found[1] for key in metrics if (found := pattern.fullmatch(key))]
    return [name for name in names if name not in RANKERS and "-minus-" not in name]


def ranking(metrics: Mapping[str, float]) -> Section:
    """Show how well the held-out events are ranked."""
    columns = [f"{m}@{k}" for m in ("ndcg", "recall", "mrr") for k in CUTOFFS]
    titles = rankers(metrics)
    rows = [
        [title, *(number(metrics.get(f"test/{name}/{column}")) for column in columns)]
        for name, title in titles.items()
    ]
    text = (
        f"{int(metrics['test/events'])} held-out events; all items are ranked, those already seen "
        "left out, equal scores counted at the mean of their ranks."
    )
    if forbidden := int(metrics.get("test/ineligible_events", 0)):
        text += (
            f" {forbidden} of the events are about an item that the domain forbids its user: "
            "nobody ranks it, and all miss it."
        )
    words = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR"}
    head = [words[name] + at + k for name, at, k in (column.partition("@") for column in columns)]
    values = {title: metrics[f"test/{name}/ndcg@10"] for name, title in titles.items()}
    return Section(
        "The next event, on the held-out log",
        text,
        [Table(["", *head], rows, "blend")],
        [Bars(values, "test NDCG@10", "blend")],
    )


def ranking_table(metrics: Mapping[str, float]) -> Table:
    """Set how well the held-out events are ranked, for a terminal."""
    columns = {"ndcg@10": "NDCG@10", "recall@10": "Recall@10", "mrr@10": "MRR@10"}
    rows = [
        [title, *(number(metrics[f"test/{name}/{column}"]) for column in columns)]
        for name, title in rankers(metrics).items()
    ]
    return Table(["held-out log", *columns.values()], rows)


def validation_table(metrics: Mapping[str, float]) -> Table | None:
    """Set how the blend, its ranker and the item models rank the validation events."""
    pattern = re.compile(r"validation/(\w[\w-]*)/ndcg@10")
    values = {found[1]: v for key, v in metrics.items() if (found := pattern.fullmatch(key))}
    if not values or "validation/ndcg@10" not in metrics:
        return None
    ranked = sorted(values.items(), key=lambda pair: -pair[1])
    rows = [("blend", metrics["validation/ndcg@10"]), *ranked]
    shown = [[RANKERS.get(name, name), number(value)] for name, value in rows]
    return Table(["validation events", "NDCG@10"], shown)


def verdict(metrics: Mapping[str, float], validation: Mapping[str, float]) -> list[str]:
    """Compare the blend with popularity, and with the item model that is best on validation."""
    own, popularity = metrics["test/ndcg@10"], metrics["test/popularity/ndcg@10"]
    found = [
        f"The blend ranks the next event with NDCG@10 {own:.3f}; popularity has {popularity:.3f}."
    ]
    if own <= popularity:
        found.append("The blend does not beat popularity on this log.")
    values = {n: validation.get(f"validation/{n}/ndcg@10", 0.0) for n in model_names(metrics)}
    if not values:
        return found
    best = max(values, key=values.__getitem__)
    sentence = (
        f"{best} is the best item model on the validation events; on the test events its NDCG@10 "
        f"is {metrics[f'test/{best}/ndcg@10']:.3f}"
    )
    gained = interval(metrics, ADVANTAGE.format(best))
    if gained is None:
        return [*found, f"{sentence}."]
    _, low, high = gained
    outcome = "is better" if low > 0 else "is worse" if high < 0 else "is not clearly different"
    return [*found, f"{sentence}, and the blend {outcome}: {signed(*gained)}."]


def beyond_the_mean(metrics: Mapping[str, float]) -> Section | None:
    """Show whom the rankings serve, and what the recommendations are like.

    :returns: None where the metrics say nothing of it.
    """
    shown = {n: t for n, t in rankers(metrics).items() if f"test/{n}/coverage@10" in metrics}
    if not shown:
        return None
    first = next(iter(shown))
    counts = {s: int(metrics.get(f"test/{first}/{s}/events", 0)) for s in SLICES}
    slices = [name for name in SLICES if counts[name]]

    def rows(columns: list[str]) -> list[list[str]]:
        return [
            [title, *(number(metrics.get(f"test/{name}/{column}")) for column in columns)]
            for name, title in shown.items()
        ]

    served = [["events", *(f"{counts[s]:,}" for s in slices)]]
    served += rows([f"{s}/ndcg@10" for s in slices])
    text = (
        "NDCG@10 over parts of the held-out events, then the ten items that each contender "
        "recommends."
    )
    gained = interval(metrics, ADVANTAGE.format("popularity"))
    if gained is not None:
        mean, low, high = gained
        text += (
            f" Over all events the blend's NDCG@10 differs from that of popularity by {mean:+.3f} "
            f"({low:+.3f} to {high:+.3f}; 95 %, paired bootstrap over users)."
        )
    return Section(
        "Whom it serves, and with what",
        text,
        [
            Table(["NDCG@10 of", *(SLICE_TITLES[s] for s in slices)], served, shown[first]),
            Table(["", *RECOMMENDED.values()], rows([*RECOMMENDED]), shown[first]),
        ],
        note="Users are split into thirds by the number of their training events; users with "
        "equally long histories stay together. The percentile is the share of the catalog that is "
        "less popular: items drawn at random have 0.5.",
    )
