"""The evaluator of the held-out log: how each ranks the test events, and whom that serves."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from lightrec.data.domain import LogMask
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, EventStore
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import (
    Answers,
    Bars,
    Evaluator,
    Findings,
    Intervals,
    Metrics,
    Section,
    Table,
    interval,
    keys_of,
    spread,
)
from lightrec.evaluation.slices import SLICES, cold_metrics, cold_section, held_out_metrics
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Key
from lightrec.memory import give_back
from lightrec.policies.baselines import PopularityPolicy
from lightrec.ranking.blend import COPIES, Blend, described_models, rows_held
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, ItemModel, Popularity, RecentPopularity
from lightrec.ranking.item_models.item_to_item import TextNeighbours
from lightrec.ranking.metrics import CUTOFFS, RankingResult, evaluate_scores
from lightrec.ranking.scorers import ItemScorer, Scorer, by_history
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
"""Titles of recommenders; item models go by their own names."""
RECOMMENDED = {
    "coverage@10": "catalog covered",
    "novelty@10": "novelty (bits)",
    "popularity_percentile@10": "popularity percentile",
    "popularity_ratio@10": "popularity, over that of choices",
}
REPEATS = "RepeatConsumption"
"""The item model that knows nothing but what its user had before."""
ADVANTAGE = "test/blend-minus-{}/ndcg@10"
PARTS = {
    "": ("the next event", ""),
    "discovered": ("discoveries", " ({:,} held-out events about items new to their user)"),
    "met": ("reminders", " ({:,} held-out events about items that their user had seen before)"),
}
"""What the headline is of, all held-out events first, with a note on each."""
BELIEVED = 0.9
"""NDCG@10 above which nobody should believe it."""
FEW = 300
"""Held-out events below which the page warns of chance."""


class HeldOutLog(Evaluator):
    """Ranks all items for the test events: blend, its ranker alone, policy, item models, random.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param batch_size: events ranked at once; fewer in a large catalog, whose scores take memory.
    """

    def __init__(self, max_events: int | None = 20_000, batch_size: int = 256) -> None:
        self.max_events, self.batch_size = max_events, batch_size
        self.ranked: Mapping[str, float] | None = None
        """What :meth:`without_policy` gave, where somebody has asked already."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``test/<recommender>/…``, the blend's as ``test/…``, and the blend's advantages."""
        metrics = dict(self.without_policy(run, seed) if self.ranked is None else self.ranked)
        if run.has("policy"):
            result = self.rank(run.data, by_history(run.policy), seed)
            repeats = self.events(run.data, seed).met
            metrics |= held_out_metrics(run.data, result, "test/policy/", repeats)
        return findings(metrics, run.metrics("ranker"))

    def without_policy(self, run: Run, seed: int) -> dict[str, float]:
        """Rank with all but the policy, which a run has long before it has a policy."""
        store, blend = run.data, run.blend
        scorers: dict[str, Scorer] = {
            "blend": by_history(blend),
            "popularity": by_history(PopularityPolicy.from_run(run)),
            "random": random_scores(store.num_items, seed),
        }
        results = {name: self.rank(store, scorer, seed) for name, scorer in scorers.items()}
        alone, by_texts = dict[str, RankingResult](), dict[str, ItemModel]()
        for name, model in item_models(run):
            alone[name] = self.rank(store, by_history(model), seed)
            if isinstance(model, TextNeighbours):
                by_texts[name] = model
            del model  # in a large catalog, so that the next one has its memory
        if alone:
            results["ranker"] = self.rank(store, by_history(Blend(blend.ranker)), seed)
        results |= alone
        metrics: dict[str, float] = {}
        events = self.events(store, seed)
        repeats = events.met
        for name, result in results.items():
            metrics |= held_out_metrics(store, result, f"test/{name}/", repeats)
        parts = {"met": repeats, "discovered": ~repeats} if repeats.any() else {}
        ranked = results["blend"]
        metrics |= {f"test/{metric}": value for metric, value in ranked.metrics().items()}
        metrics["test/events"] = len(ranked.ranks)
        if ranked.ineligible:
            metrics["test/ineligible_events"] = ranked.ineligible
        for name in ("popularity", *alone):
            lead, key = ranked.paired(results[name]), ADVANTAGE.format(name)
            metrics |= mean_of_users(key, lead, ranked.users, seed)
            for part, of in parts.items():
                key = ADVANTAGE.format(f"{name}/{part}")
                metrics |= mean_of_users(key, lead[of], ranked.users[of], seed)
        size = events.batch_size
        return metrics | cold_metrics(store, blend, by_texts, size, self.max_events, seed)

    def events(self, store: EventStore, seed: int) -> EvaluationEvents:
        """The test events in the order in which they are ranked."""
        log, most = Sequences.all_events(store), rows_held(COPIES * store.num_items)
        size = min(self.batch_size, most)
        return EvaluationEvents(log, TEST, None, size, self.max_events, seed)

    def rank(self, store: EventStore, scorer: Scorer, seed: int) -> RankingResult:
        """Rank the test events with one scorer, seen items left out.

        What the domain forbids a user is not ranked; an event about such an item is a miss.
        """
        events = self.events(store, seed)
        return evaluate_scores(scorer, events, list_length=LIST_LENGTH, showable=LogMask(store))


def scorers_of(
    run: Run, models: Sequence[str] = (REPEATS,), policy: bool = False
) -> dict[str, Scorer]:
    """Scorers of the blend, some item models and popularity, as far as the run has them.

    :param policy: whether the run's policy is among them, after the blend.
    """
    fitted = dict(item_models(run)) if models else {}
    parts: dict[str, ItemScorer] = {"blend": run.blend}
    if policy and run.has("policy"):
        parts["policy"] = run.policy
    parts |= {name: fitted[name] for name in models if name in fitted}
    parts["popularity"] = PopularityPolicy.from_run(run)
    return {name: by_history(part) for name, part in parts.items()}


def mean_of_users(key: str, values: Tensor, users: Tensor, seed: int) -> dict[str, float]:
    """The mean of events' values (E,) with its interval over users; nothing of one user."""
    if len(users.unique()) < 2:
        return {}
    return keys_of(key, bootstrap_interval(values, users, seed=seed))


def random_scores(num_items: int, seed: int = 0) -> Scorer:
    """Make what scores N items at random, evenly on [0, 1): for each user and seed one order."""

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        users = batch[Key.USER]
        items = torch.arange(num_items + 1, device=users.device)
        key = noise.mix(noise.mix(users.new_full((), seed), 0) + users, 0)[:, None]
        return (noise.mix(key + items, 0) & (2**53 - 1)).double() / 2**53

    return scores


def item_models(run: Run) -> Iterator[tuple[str, ItemModel]]:
    """The item models that a run's blend chose from, but for popularity, one after the other.

    Those that it leaves out are fitted again with the settings chosen there.
    """
    evidence = Evidence.of(run.data, run.ranker.items.vectors)
    described = described_models(run.folder("ranker"))
    for name in [*described]:
        model = described.pop(name)
        if isinstance(model, Popularity) and not isinstance(model, RecentPopularity):
            continue
        with suppress(NotApplicable):
            blended = name in run.blend.item_models
            # What a fit finds out for other settings goes with its evidence.
            model = run.blend.item_model(name) if blended else model.fit(replace(evidence))
            give_back()
            yield name, model


def findings(metrics: Metrics, validation: Metrics) -> Findings:
    """Say what the metrics of the held-out log mean, next to those of the ranker's stage."""
    ranked = ranking(metrics)
    sections = [ranked, *filter(None, (beyond_the_mean(metrics), cold_section(metrics)))]
    values = {t: metrics[f"test/{name}/ndcg@10"] for name, t in rankers(metrics).items()}
    return Findings(
        metrics,
        sections,
        summary=lines(metrics, validation),
        headline=[Bars(values, "test NDCG@10, held-out log", "blend")],
        answers=answers(metrics, validation),
    )


def lines(metrics: Metrics, validation: Metrics) -> str:
    """Set for a terminal how recommenders rank, and what must not be overlooked."""
    sentences = [too_good(metrics), *(how for how, _ in compared(metrics, validation)[1:])]
    shown = [textwrap.fill(sentence, 100) for sentence in sentences if sentence]
    return "\n".join([ranking_table(metrics).text(), *shown])


def rankers(metrics: Metrics) -> dict[str, str]:
    """The recommenders on the held-out log: titles by names in the metrics, item models by rank."""
    titles = {n: t for n, t in RANKERS.items() if f"test/{n}/ndcg@10" in metrics}
    leading = {n: t for n, t in titles.items() if n in ("blend", "ranker", "policy")}
    return leading | {name: name for name in model_names(metrics)} | titles


def model_names(metrics: Metrics) -> list[str]:
    """The names of the item models in the metrics, besides popularity, the best first."""
    names = _by_ndcg(metrics, "test")
    return [name for name in names if name not in RANKERS and "-minus-" not in name]


def _by_ndcg(metrics: Metrics, part: str) -> list[str]:
    names = re.findall(rf"^{part}/(\w[\w-]*)/ndcg@10$", "\n".join(metrics), re.MULTILINE)
    return sorted(names, key=lambda name: -metrics[f"{part}/{name}/ndcg@10"])


def ranking(metrics: Metrics) -> Section:
    """Show how well the held-out events are ranked."""
    text = (
        f"{int(metrics['test/events'])} held-out events; all items are ranked but those that may "
        "not come again, equal scores counted at the mean of their ranks."
    )
    if forbidden := int(metrics.get("test/ineligible_events", 0)):
        text += (
            f" {forbidden} of the events are about an item that the domain forbids its user: "
            "nobody ranks it, and all miss it."
        )
    ahead = {
        f"blend − {name}": ends
        for name in (*model_names(metrics), "popularity")
        if (ends := interval(metrics, ADVANTAGE.format(name)))
    }
    return Section(
        "The next event, on the held-out log",
        text,
        [ranking_table(metrics, "", CUTOFFS)],
        [Intervals(ahead, "difference in NDCG@10")] if ahead else [],
    )


def ranking_table(
    metrics: Metrics, corner: str = "held-out log", cutoffs: Sequence[int] = (10,)
) -> Table:
    """Set how well the held-out events are ranked."""
    words = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR"}
    columns = {f"{m}@{k}": f"{title}@{k}" for m, title in words.items() for k in cutoffs}
    return Table.of(metrics, "test/{}/{}", rankers(metrics), columns, corner, "blend")


def validation_table(metrics: Metrics) -> Table | None:
    """Set how the blend, its ranker and the item models rank the validation events."""
    if "validation/ndcg@10" not in metrics:
        return None
    names = _by_ndcg(metrics, "validation")  # none after an update, which chooses no settings
    titles = {"": "blend"} | {f"{name}/": RANKERS.get(name, name) for name in names}
    head = {"ndcg@10": "NDCG@10"}
    return Table.of(metrics, "validation/{}{}", titles, head, "validation events")


def answers(metrics: Metrics, validation: Metrics) -> Answers:
    """Compare the blend with popularity, and with the item model that is best on validation."""
    outcomes = compared(metrics, validation)
    events = int(metrics["test/events"])
    few = " So few events decide little." if events < FEW else ""
    return Answers(
        " ".join(filter(None, [too_good(metrics), *(how for how, _ in outcomes)])),
        " ".join(much for _, much in outcomes),
        f"{events:,} held-out events were ranked among all items; no setting was chosen on them. "
        f"The 95 % intervals are over users, for one training: a seed moves all figures, too.{few}",
    )


def compared(metrics: Metrics, validation: Metrics) -> list[tuple[str, str]]:
    """Say who is ahead at all events and, where some are about an item seen before, at each part.

    Of what was seen, recency alone may predict much: such reminders and discoveries have rivals of
    their own, each the best single item model there on the validation events.

    :returns: of each a sentence that says who is ahead, and one with the figures.
    """
    comparisons = []
    for part, (title, note) in PARTS.items():
        at = part and f"{part}/"
        reached, other = (metrics.get(f"test/{n}/{at}ndcg@10") for n in ("blend", "popularity"))
        if reached is None or other is None:
            continue
        rivals = {"popularity": "popularity"}
        if names := model_names(metrics):
            best = max(names, key=lambda name: validation.get(f"validation/{name}/{at}ndcg@10", 0))
            where = "there on the validation events" if part else "on the validation events"
            rivals[best] = f"{best}, the best single item model {where}"
        outcomes: dict[str, list[str]] = {}
        shown = []
        for name, words in rivals.items():
            ends = interval(metrics, ADVANTAGE.format(f"{name}/{part}" if part else name))
            how, lead = "not comparable, for want of users, with", "without an interval"
            if ends is not None:
                how, lead = "not clearly different from", f"a difference of {spread(ends)}"
                how = "clearly better than" if ends[1] > 0 else how
                how = "clearly worse than" if ends[2] < 0 else how
            outcomes.setdefault(how, []).append(words)
            shown.append(f"{name} has {metrics[f'test/{name}/{at}ndcg@10']:.3f}, {lead}")
        ahead = "; ".join(f"{how} {' and '.join(words)}" for how, words in outcomes.items())
        about = part and note.format(int(metrics[f"test/blend/{at}events"]))
        begin = f"At {title} it is" if part else "The blend's NDCG@10 is"
        how = f"At {title}{about} the blend is {ahead}."
        comparisons.append((how, f"{begin} {reached:.3f}; {'; '.join(shown)}."))
    return comparisons


def too_good(metrics: Metrics) -> str:
    """Warn of a figure that is too good to be true, with the reason; empty where none is."""
    values = {name: metrics[f"test/{name}/ndcg@10"] for name in rankers(metrics)}
    best = max(values, key=values.__getitem__)
    if values[best] <= BELIEVED:
        return ""
    reason = (
        f"{REPEATS}, which knows nothing but what its user had seen before, has "
        f"{values[REPEATS]:.3f}: what is to be predicted stands in the history already, such as "
        "the basket before an order. Say with --goal which kind of event counts, leave hide_visit "
        "on, and look whether sessions and times are right, so that a visit is known as one."
        if values.get(REPEATS, 0) > BELIEVED
        else "something beside the choices gives them away: copies of events, items that always "
        "come together, a file sorted by item, or texts that were written afterwards."
    )
    return (
        f"TOO GOOD TO BE TRUE: {best} has NDCG@10 {values[best]:.3f}, and nobody predicts people "
        f"so well. Believe no figure here before the reason is known: {reason}"
    )


def beyond_the_mean(metrics: Metrics) -> Section | None:
    """Show whom the rankings serve, and with what; None where the metrics say nothing of it."""
    shown = {n: t for n, t in rankers(metrics).items() if f"test/{n}/coverage@10" in metrics}
    if not shown:
        return None
    first, *_ = shown
    counts = {s: int(metrics.get(f"test/{first}/{s}/events", 0)) for s in SLICES}
    slices = {name: title for name, title in SLICES.items() if counts[name]}
    best = shown[first]
    served = Table.of(metrics, "test/{}/{}/ndcg@10", shown, slices, "NDCG@10 of", best)
    served.rows = [["events", *(f"{counts[s]:,}" for s in slices)], *served.rows]
    text = (
        "NDCG@10 over parts of the held-out events, then the ten items that each recommender "
        "recommends."
    )
    if gained := interval(metrics, ADVANTAGE.format("popularity")):
        text += (
            " Over all events the blend's NDCG@10 differs from that of popularity by "
            "{:+.3f} ({:+.3f} to {:+.3f}; 95 %, paired bootstrap over users).".format(*gained)
        )
    if worst := re.search(rf"^test/{first}/worst/(.+)/ndcg@10$", "\n".join(metrics), re.MULTILINE):
        lowest = metrics[worst.group()]
        text += f" Of all groups of users, {best} ranks worst for {worst[1]}: NDCG@10 {lowest:.3f}."
    return Section(
        "Whom it serves, and with what",
        text,
        [served, Table.of(metrics, "test/{}/{}", shown, RECOMMENDED, own=best)],
        note="Users are split into thirds by the number of their training events; users with "
        "equally long histories stay together. The percentile is the share of the catalog that is "
        "less popular: items drawn at random have 0.5.",
    )
