"""Topics of lists of news, how different their articles are, and how old."""

import numpy as np
from numpy.typing import NDArray

from lightrec.api import (
    Bars,
    Evaluator,
    EventStore,
    Findings,
    HeldOutLog,
    Run,
    Section,
    Table,
    scorers_of,
)

HOUR = 3_600_000
MEASURES = {
    "topics": "topics in a list",
    "diversity": "pairs of different topics",
    "age_hours": "median age (hours)",
    "empty": "empty places",
}
ROWS = {"blend": "blend", "policy": "policy", "popularity": "popularity", "read": "what was read"}


class TopicsAndAge(Evaluator):
    """Topics, intra-list diversity and age of the ten articles recommended at each test event.

    Diversity is the share of a list's pairs whose articles differ in topic (Ziegler et al. 2005,
    "Improving recommendation lists through topic diversification", with topics for similarity).
    The age counts from the item's attribute ``created``, or else from its first event.

    :param topic: the attribute that holds an item's topic; by default the first category.
    :param max_events: at most so many test events, drawn by the seed; None for all.
    """

    def __init__(self, topic: str | None = None, max_events: int | None = 5_000) -> None:
        self.topic, self.max_events = topic, max_events

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``news/<recommender>/<measure>``, and what was read itself as ``news/read/age_hours``.

        Without topics there are ages only, in a log without times only topics.
        """
        store, log, metrics = run.data, HeldOutLog(self.max_events), dict[str, float]()
        held, topics = log.events(store, seed), store.categories(self.topic)
        # Places among the events that have an item: an impression without a click has none.
        times = held.sequences.times[held.events] if store.has_times else None
        for name, scorer in scorers_of(run, (), policy=True).items():
            lists = log.rank(store, scorer, seed).lists
            metrics |= _measures(f"news/{name}", lists.numpy(), store, times, topics)
        read = held.targets.astype(np.int64)[:, None]
        metrics |= _measures("news/read", read, store, times, None)
        del metrics["news/read/empty"]
        if not len(read):
            return Findings(metrics)
        table = Table.of(metrics, "news/{}/{}", ROWS, MEASURES, "lists of ten", "blend")
        text = (
            "Of the 10 articles that each recommends at the held-out events: how "
            "many topics they have, which share of their pairs differ in topic, and how long "
            "before they appeared. Places stay empty where too few articles are still shown."
        )
        ages = {t: metrics[k] for n, t in ROWS.items() if (k := f"news/{n}/age_hours") in metrics}
        charts = [Bars(ages, "median age in hours", "blend")] if ages else []
        return Findings(metrics, [Section("Topics and age", text, [table], charts)])


def _measures(
    key: str,
    lists: NDArray[np.int64],
    store: EventStore,
    times: NDArray[np.int64] | None,
    topics: NDArray[np.int64] | None,
) -> dict[str, float]:
    """Measure lists (E, K), padded with 0, shown at the times of events (E,), in
    milliseconds since 1970; None in a log without times.

    :param topics: (N + 1,) of the items, below 0 where there is none.
    """
    there = lists > 0
    measures = {f"{key}/empty": float((~there).sum(1).mean()) if len(lists) else 0.0}
    if topics is not None:
        shown = topics[lists]
        has = shown >= 0
        alike = (shown[:, :, None] == shown[:, None]).sum(2) * has  # of each place, itself included
        several = (items := has.sum(1)) > 1
        if several.any():
            pairs = (items * (items - 1))[several]
            differ = 1 - ((alike.sum(1) - items)[several] / pairs).mean()
            measures[f"{key}/topics"] = float((has / alike.clip(1)).sum(1)[several].mean())
            measures[f"{key}/diversity"] = float(differ)
    if times is not None and there.any():
        first = np.append(0, store.first_seen)
        ages = (times[:, None] - first[lists])[there]
        # An item that appears only later, or never, has no age.
        if len(ages := ages[ages >= 0]):
            measures[f"{key}/age_hours"] = float(np.median(ages)) / HOUR
    return measures
