"""How items without training events fare: among themselves, and with places reserved for them."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from lightrec.data.domain import Showable, showable
from lightrec.data.sequences import Sequences, Targets
from lightrec.data.store import COLD, TEST, EventStore
from lightrec.evaluation.sections import Curve, Section, Table, number
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.item_models.item_to_item import TextNeighbours
from lightrec.ranking.item_models.text_map import TextMap
from lightrec.ranking.lists import with_explored_places, with_reserved_places
from lightrec.ranking.metrics import Scorer, evaluate_scores, event_metrics
from lightrec.ranking.sequence_data import EvaluationEvents

Places = Callable[[Tensor, Tensor], Tensor]
"""From usual scores and those of new items, (B, N + 1) each, to lists (B, 10)."""
LENGTH = 10
PLACES = (0, 1, 2, 3)
RATES = (0.1, 0.2, 0.3)
"""Of exploration: as many places on average as are reserved above."""
TITLES = {
    "map": "scores of other items, mapped by their texts",
    "TextNeighbours": "text neighbours of recent items",
    "text": "text neighbours of the whole history",
}


def cold_metrics(
    store: EventStore,
    blend: Blend,
    models: dict[str, ItemModel],
    batch_size: int,
    limit: int | None,
    seed: int,
) -> dict[str, float]:
    """Judge what is done for cold items.

    :param models: fitted item models; the text neighbours among them are the contender.
    :param limit: at most so many events, drawn by the seed; None for all.
    :returns: ``cold/…`` keys, see the reference of metrics; nothing where no held-out event is
        about a cold item, or items have no texts.
    """
    counts = torch.from_numpy(store.popularity())
    mapped = blend.text_map(store)
    if mapped is None:
        return {}
    cold, warm = (
        EvaluationEvents(Sequences.all_events(store), targets, None, batch_size, limit, seed)
        for targets in targets_by_warmth(store, counts)
    )
    if not len(cold.events):
        return {}
    neighbours = next((f for f in models.values() if isinstance(f, TextNeighbours)), None)
    plain = TextNeighbours(1.0, 1.0).fit(Evidence.of(store, blend.ranker.items.vectors))
    filter_seen, allowed = not store.repeats, showable(store)

    def among_cold(scores: Tensor) -> Tensor:
        return scores.masked_fill(~mapped.cold, -torch.inf)

    scorers: dict[str, Scorer] = {
        "map": lambda batch: mapped.scores(blend.scores(batch[Key.HISTORY], details=batch)),
        "text": lambda batch: among_cold(plain.scores(batch[Key.HISTORY])),
    }
    if neighbours is not None:
        scorers["TextNeighbours"] = lambda batch: among_cold(neighbours.scores(batch[Key.HISTORY]))
    metrics: dict[str, float] = {
        "cold/events": len(cold.events),
        "cold/items": int(mapped.cold.sum()),
    }
    for name, scorer in scorers.items():
        batches = (cold[index] for index in range(len(cold)))
        found = evaluate_scores(scorer, batches, filter_seen, showable=allowed).metrics([LENGTH])
        metrics |= {f"cold/{name}/{key}": value for key, value in found.items()}
    batches = (cold[index] for index in range(len(cold)))
    everywhere = evaluate_scores(
        lambda batch: plain.scores(batch[Key.HISTORY]), batches, filter_seen, showable=allowed
    ).metrics([LENGTH])
    metrics["cold/text-among-all/recall@10"] = everywhere["recall@10"]
    policies: dict[str, Places] = {
        f"places-{places}": partial(with_reserved_places, length=LENGTH, places=places)
        for places in PLACES
    }
    generator = torch.Generator().manual_seed(seed)
    for rate in RATES:
        policies[f"explore-{rate}"] = partial(
            with_explored_places, length=LENGTH, rate=rate, generator=generator
        )
    for name, events in (("cold", cold), ("warm", warm)):
        lists = _in_lists(blend, mapped, events, policies, filter_seen, allowed)
        for policy, values in lists.items():
            metrics |= {f"cold/{policy}/{name}/{key}": value for key, value in values.items()}
    return metrics


def targets_by_warmth(store: EventStore, counts: Tensor) -> tuple[Targets, Targets]:
    """Held-out events about cold items, and test events about all others.

    :param counts: (N + 1,) training events of each item.
    """
    tested = Sequences.targets(store, TEST)
    trained = counts.numpy()[tested.items] > 0
    cold = Sequences.targets(store, COLD) if store.has_cold else tested.only(~trained)
    return cold, tested.only(trained)


@torch.no_grad()
def _in_lists(
    blend: Blend,
    mapped: TextMap,
    events: EvaluationEvents,
    policies: dict[str, Places],
    filter_seen: bool,
    showable: Showable,
) -> dict[str, dict[str, float]]:
    """Recall and NDCG of lists in which new items have places, by the policy that gives them."""
    found: dict[str, dict[str, list[Tensor]]] = {
        policy: {"ndcg@10": [], "recall@10": []} for policy in policies
    }
    for index in range(len(events)):
        batch = events[index]
        usual = blend.scores(batch[Key.HISTORY], details=batch)
        new = mapped.scores(usual)
        if filter_seen:
            usual = usual.scatter(1, batch[Key.SEEN], -torch.inf)
        eligible = showable(batch[Key.USER])
        if eligible is not None:
            usual, new = (scores.where(eligible, -torch.inf) for scores in (usual, new))
        for policy, placed in policies.items():
            lists = placed(usual, new)
            hit = (lists == batch[Key.TARGET][:, None]) & (lists != PADDING)
            ranks = torch.where(hit.any(1), hit.int().argmax(1) + 1, LENGTH + 1)
            values = event_metrics(ranks, [LENGTH])
            for name in found[policy]:
                found[policy][name].append(values[name])
    return {
        policy: {name: float(torch.cat(v).mean()) if v else 0.0 for name, v in own.items()}
        for policy, own in found.items()
    }


def cold_section(metrics: Mapping[str, float]) -> Section | None:
    """Show how new items are ranked, and what places reserved for them cost the others.

    :returns: None where no held-out event is about an item without training events.
    """
    if "cold/events" not in metrics:
        return None
    among = [
        [title, *(number(metrics[f"cold/{name}/{m}@10"]) for m in ("recall", "ndcg"))]
        for name, title in TITLES.items()
        if f"cold/{name}/recall@10" in metrics
    ]
    policies = {f"places-{places}": f"{places} reserved" for places in PLACES} | {
        f"explore-{rate}": f"each at random, {100 * rate:.0f} %" for rate in RATES
    }
    warm = {policy: metrics[f"cold/{policy}/warm/ndcg@10"] for policy in policies}
    new = {policy: metrics[f"cold/{policy}/cold/recall@10"] for policy in policies}
    whole = warm["places-0"]
    rows = []
    for policy, title in policies.items():
        lost = f"{100 * (1 - warm[policy] / whole):.1f} %" if whole else "–"
        rows.append([title, number(new[policy]), number(warm[policy]), lost])
    reserved = [f"places-{places}" for places in PLACES]
    curve = Curve(
        [warm[policy] for policy in reserved],
        [new[policy] for policy in reserved],
        ("NDCG@10 of items with events", "Recall@10 of items without"),
        words=[str(places) for places in PLACES],
    )
    return Section(
        "New items",
        f"{int(metrics['cold/events']):,} held-out events are about {int(metrics['cold/items']):,} "
        "items without training events. The first table ranks these items among themselves. In a "
        "list of ten they appear only in places of their own: the last places are reserved, or "
        "each place is drawn at random, so that all new items are tried.",
        [
            Table(["among new items alone", "Recall@10", "NDCG@10"], among, TITLES["map"]),
            Table(["places of ten", "Recall@10, new", "NDCG@10, others", "others lose"], rows),
        ],
        [curve],
        "Ranked among all items by their texts, new items have Recall@10 "
        f"{metrics['cold/text-among-all/recall@10']:.3f}. `lightrec recommend RUN --new 2` "
        "reserves two places; `--explore 0.2` draws them.",
    )
