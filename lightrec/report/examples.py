"""A run's lists, looked at: a map of its catalog, and three users with their lists, and why."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.domain import LogMask, Showable
from lightrec.data.sequences import Sequences, last_events, named_events, without_each
from lightrec.data.store import TEST, EventStore
from lightrec.evaluation.base import NOTHING, Points, Section, Table
from lightrec.evaluation.held_out import HeldOutLog, scorers_of
from lightrec.keys import Column, Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import rankable
from lightrec.ranking.scorers import Scorer
from lightrec.run import Run

LISTS: Final = 500
"""Test events whose lists of ten the map counts, at most."""
MAPPED: Final = 800
"""Items on the map at most: those shown most often, and the most popular ones."""
POPULAR: Final = "popularity"
NAMED: Final = 6
"""Categories with a color of their own."""
DRAWN: Final = 200
"""Events of which three are examples."""
LATEST: Final = 6
"""Last items of a history that are listed."""
LISTED: Final = 5
"""Items of a list."""
LEFT_OUT: Final = 12
"""Last events that are left out, one at a time, to see what an item owes to them."""


def catalog_map(run: Run, seed: int) -> Section | None:
    """Draw the catalog as the ranker sees it, larger what is shown more; None without a test."""
    store, ranked = run.data, HeldOutLog(LISTS)
    if not len(ranked.events(store, seed).events):
        return None
    shares = {}
    for name, scorer in scorers_of(run, (), policy=True).items():
        lists = ranked.rank(store, scorer, seed).lists
        counts = lists.flatten().bincount(minlength=store.num_items + 1)[1:]
        shares[name], made = counts.double() / len(lists), len(lists)
    popularity = shares.pop(POPULAR)
    counts = torch.from_numpy(store.popularity())[1:].double()
    # Popularity decides among items that are shown equally often.
    order = (sum(shares.values()) + counts / (counts.sum() + 1)).argsort(descending=True)
    rows = order[:MAPPED].sort().values
    x, y = plane(run.ranker.item_vectors()[1:].detach().double())[rows].T.tolist()
    groups, titles = _groups(store), _titles(store)
    shown_groups = [groups[row] for row in rows.tolist()]
    charts = [
        Points(
            x,
            y,
            (share[rows] / share.max().clamp(min=1e-12)).sqrt().tolist(),
            shown_groups,
            [f"{titles[row]}: in {share[row]:.1%} of the lists" for row in rows.tolist()],
            f"shown by the {name}",
        )
        for name, share in shares.items()
    ]
    half = {}
    for name, share in (shares | {POPULAR: popularity}).items():
        places = share.sort(descending=True).values.cumsum(0)
        half[name] = int((places < places[-1] / 2).sum()) + 1
    return Section(
        "A map of the catalog",
        "Items that the same people choose lie near each other: these are the two directions in "
        f"which the ranker's item vectors differ most. The larger a point, the more of {made:,} "
        "lists of ten hold the item; point at one for its title. Half of all places go to "
        + ", ".join(f"{n:,} items with {name}" for name, n in half.items())
        + f", of {store.num_items:,}.",
        charts=charts,
    )


def plane(vectors: Tensor) -> Tensor:
    """The two principal components of vectors (N, D) as (N, 2); signs are settled."""
    centered = vectors - vectors.mean(dim=0)
    axes = torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -2:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    flat = centered @ (axes * torch.where(largest < 0, -1.0, 1.0))
    return pad(flat, (0, 2 - flat.shape[1]))


def _groups(store: EventStore) -> list[str]:
    """Each item's category, nothing for those beyond the largest few."""
    if (category := store.category()) is None:
        return [""] * store.num_items
    named = category.fill_null("unknown")
    largest = named.value_counts(sort=True)[category.name].to_list()[:NAMED]
    return [name if name in largest else "" for name in named.to_list()]


def _titles(store: EventStore) -> list[str]:
    return store.catalog[Column.TITLE].fill_null(store.catalog[Column.ITEM]).to_list()


@torch.no_grad()
def histories(run: Run, seed: int) -> Section | None:
    """Show three users, what each recommender would list, and why; None without a test event."""
    store, allowed, titles = run.data, LogMask(run.data), _titles(run.data)
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 1, DRAWN, seed)
    if not len(events):
        return None
    tables = []
    # Events stand in the order of their histories' lengths: a short, a middling, and a long one.
    for place in sorted({len(events) * quarter // 4 for quarter in (1, 2, 3)}):
        batch = events[min(place, len(events) - 1)]
        target = int(batch[Key.TARGET])
        chosen = titles[target - 1] if target <= store.num_items else NOTHING
        latest = named_events(last_events(batch, LATEST), titles, store.feedback_kinds)
        rows = [["before that", *event] for event in latest]
        rows += [["held out", chosen, "what came next"]]
        for name, scorer in scorers_of(run, (), policy=True).items():
            personal = name != POPULAR
            listed = _listed(scorer, batch, allowed, titles, LEFT_OUT if personal else 0)
            for rank, (item, why) in enumerate(listed, 1):
                why = why if personal else "many chose it"
                hit = "✓ what came next. " if item == target else ""
                rows.append([f"{name}, {rank}", titles[item - 1], hit + why])
        user = store.user_ids[int(batch[Key.USER])]
        tables.append(Table([f"user {user}", "item", "why"], rows, "held out"))
    return Section(
        "Three users, what each would be shown, and why",
        "The last items of a history, the item that was held out, and the five that each ranks "
        f"highest. Each of the last {LEFT_OUT} events was left out once: the reason is the "
        "one without which an item loses most places.",
        tables,
    )


def _listed(
    scorer: Scorer, batch: Mapping[str, Tensor], allowed: Showable, titles: list[str], left_out: int
) -> list[tuple[int, str]]:
    """Rank for one user, and once more without each of the last events, so many of them."""
    events, together = without_each(batch, left_out)
    scores, eligible = scorer(together), allowed(together[Key.USER], together[Key.END])
    scores = scores.where(rankable(scores, together[Key.SEEN], eligible=eligible), -torch.inf)
    best = scores[0].topk(min(LISTED, scores.shape[1] - 1))
    listed = []
    for item, value in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        if not math.isfinite(value):
            break
        ranks = 1 + (scores > scores[:, item, None]).sum(dim=1)
        lost = ranks[1:] - ranks[0]
        why = "no single event"
        if len(lost) and int(lost.max()) > 0:
            event = int(lost.argmax())
            cause = events[event]
            name = titles[cause - 1] if cause <= len(titles) else "an item no longer known"
            why = f"“{name}”: place {int(ranks[event + 1])} without it"
        listed.append((item, why))
    return listed
