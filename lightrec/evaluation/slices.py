"""Beyond the mean of a ranking: whom and what it serves, what it recommends, and new items.

Slices are made from the log alone, so that they are the same for all recommenders.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.domain import LogMask
from lightrec.data.sequences import Sequences
from lightrec.data.store import CATEGORIES, COLD, TEST, TRAIN, EventStore
from lightrec.evaluation.base import NOTHING, Curve, Metrics, Section, Table, number
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend import Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.item_models.item_to_item import TextNeighbours
from lightrec.ranking.item_models.text_map import TextMap
from lightrec.ranking.lists import with_explored_places, with_reserved_places
from lightrec.ranking.metrics import RankingResult, evaluate_scores, event_metrics, rankable
from lightrec.ranking.scorers import Scorer

SLICES = {
    "warm": "items with training events",
    "cold": "items without training events",
    "head": "popular items (half of all training events)",
    "tail": "all other items",
    "short": "users with short histories",
    "medium": "users with medium histories",
    "long": "users with long histories",
    "met": "items that their user had seen before",
    "discovered": "items new to their user",
}
"""Titles of slices, in the order of reports."""
GROUP = 50
"""Held-out events below which nothing is said of a group of users."""
PLACES = (0, 1, 2, 3)
RATES = (0.1, 0.2, 0.3)
"""Rates of exploration: as many places on average as are reserved above."""
OTHERS = 5_000
"""Held-out events of other items that say what places for new items cost: the same in all ways."""
TITLES = {
    "map": "scores of other items, mapped by their texts",
    "TextNeighbours": "text neighbours of recent items",
    "text": "text neighbours of the whole history",
}
Places = Callable[[Tensor, Tensor], Tensor]
"""From usual scores and those of new items, (B, N + 1) each, to lists (B, 10)."""


def popularity_percentiles(counts: Tensor) -> Tensor:
    """The share of the catalog that is less popular than each item.

    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :returns: (N + 1,) float64: the share of items with smaller counts, and half of the share of
        those with equal ones (itself included), so that the catalog's mean is 1 / 2; column 0 is 0.
    """
    ranks = pl.Series(counts[1:].cpu().numpy()).rank().to_torch().to(counts.device)
    return pad((ranks - 0.5) / max(len(ranks), 1), (1, 0))


def recommended(lists: Tensor, counts: Tensor) -> dict[str, float]:
    """Describe recommendations: how much of the catalog, how novel, how popular.

    :param lists: (B, K) int64; 0 is no recommendation.
    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :returns: ``coverage@K``, the share of the catalog that stands in anybody's list;
        ``novelty@K``, the mean self-information of what is recommended in bits, -log2 of the item's
        share of all training events, one at the least (Zhou et al. 2010; Vargas and Castells 2011);
        ``popularity_percentile@K``, the mean share of the catalog that is less popular, .5 for
        items drawn at random; and ``popularity_ratio@K``, the mean training count of what is
        recommended over that of what was chosen in training. All are 0 of no recommendation.
    """
    counts = counts.double().index_fill(0, torch.tensor([PADDING]), 0)
    shown = lists.flatten().bincount(minlength=len(counts)).double()
    shown[PADDING] = 0
    weights = shown / shown.sum().clamp(min=1)
    total = counts.sum()
    information = total.clamp(min=1).log2() - counts.clamp(min=1).log2()
    chosen = counts.square().sum() / total.clamp(min=1)
    figures = {
        "coverage": (shown > 0).sum() / max(len(shown) - 1, 1),
        "novelty": weights @ information,
        "popularity_percentile": weights @ popularity_percentiles(counts),
        # Where nothing was chosen in training, nothing can be more popular than that.
        "popularity_ratio": weights @ counts / chosen.where(chosen > 0, 1.0),
    }
    return {f"{name}@{lists.shape[1]}": float(value) for name, value in figures.items()}


def head_items(counts: Tensor) -> Tensor:
    """The head of a catalog, which makes up half of its training events.

    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :returns: (N + 1,) bool: the fewest items that together have half of all training events; of
        equally popular ones, those of lower index.
    """
    ordered, order = counts[1:].double().sort(descending=True, stable=True)
    # An item is needed where those before it do not suffice.
    needed = ordered.cumsum(0) - ordered < ordered.sum() / 2
    return torch.zeros_like(counts, dtype=torch.bool).index_fill(0, order[needed] + 1, True)


def event_slices(
    users: Tensor, targets: Tensor, counts: Tensor, lengths: Tensor, repeats: Tensor | None = None
) -> dict[str, Tensor]:
    """Sort held-out events into slices by whether the target has training events and is popular.

    Histories are cut at the tertiles of the users that have held-out events; equally long ones stay
    together.

    :param users: (E,) int64 rows of the user table.
    :param targets: (E,) int64, 1 to N.
    :param counts: (N + 1,) training events of each item.
    :param lengths: (U,) int64 training events of each user.
    :param repeats: (E,) bool, which events are about an item seen before; these slices are left
        out where it is None or there is no such event.
    :returns: by the names of :data:`SLICES`, (E,) bool.
    """
    cold = counts[targets] == 0
    head = head_items(counts)[targets]
    count = lengths[users]
    ordered = lengths[users.unique()].sort().values if len(users) else lengths.new_zeros(1)
    last = len(ordered) - 1
    low, high = ordered[last // 3], ordered[2 * last // 3]
    parts = [~cold, cold, head, ~head, count <= low, (count > low) & (count <= high), count > high]
    if repeats is not None and repeats.any():
        parts += [repeats, ~repeats]
    return dict(zip(SLICES, parts, strict=False))


def slice_metrics(result: RankingResult, slices: Mapping[str, Tensor]) -> dict[str, float]:
    """``tail/events`` and the means ``tail/ndcg@10`` of slices, (E,) bool by name."""
    values = result.per_event([10])
    metrics: dict[str, float] = {}
    for name, part in slices.items():
        count = int(part.sum())
        metrics[f"{name}/events"] = count
        if count:
            metrics |= {f"{name}/{metric}": float(v[part].mean()) for metric, v in values.items()}
    return metrics


def worst_group(result: RankingResult, users: pl.DataFrame) -> dict[str, float]:
    """Find the group of users, by one of their attributes of words, that is ranked for worst.

    :param users: U rows; attributes with more values than
        :data:`~lightrec.data.store.CATEGORIES` make no groups.
    :returns: the group's NDCG@10, as ``worst/gender F/ndcg@10``; nothing where there are no two
        groups with :data:`GROUP` events.
    """
    values, rows = result.per_event([10])["ndcg@10"].numpy(), result.users.numpy()
    worst_of: dict[str, float] = {}
    for column in users:
        if column.dtype == pl.String and column.n_unique() <= CATEGORIES:
            events = pl.DataFrame({"group": column.gather(rows), "ndcg": values}).drop_nulls()
            groups = events.group_by("group").agg(pl.len(), pl.mean("ndcg"))
            large = groups.filter(pl.col("len") >= GROUP).sort("ndcg", "group")
            if len(large) > 1:
                worst_of[f"{column.name} {large['group'][0]}"] = large["ndcg"][0]
    worst = sorted(worst_of, key=worst_of.__getitem__)[:1]
    return {f"worst/{name}/ndcg@10": worst_of[name] for name in worst}


def held_out_metrics(
    store: EventStore, result: RankingResult, prefix: str, repeats: Tensor | None = None
) -> dict[str, float]:
    """Describe one recommender: ``ndcg@10``, ``tail/ndcg@10``, ``coverage@10`` after the prefix.

    :param repeats: as for :func:`event_slices`.
    """
    counts = torch.from_numpy(store.popularity())
    metrics = result.metrics()
    if result.lists.shape[1]:
        metrics |= recommended(result.lists, counts)
    train = store.events(TRAIN)
    train = train[np.asarray(store.items)[train] <= store.num_items]
    lengths = np.bincount(store.users_of(train), minlength=store.num_users)
    slices = event_slices(result.users, result.targets, counts, torch.from_numpy(lengths), repeats)
    metrics |= slice_metrics(result, slices) | worst_group(result, store.users)
    return {f"{prefix}{metric}": value for metric, value in metrics.items()}


def cold_metrics(
    store: EventStore,
    blend: Blend,
    models: dict[str, ItemModel],
    batch_size: int,
    limit: int | None,
    seed: int,
) -> dict[str, float]:
    """Judge what is done for cold items, among it the text neighbours of some fitted item models.

    :param limit: at most so many events, drawn by the seed; None for all. Of other items' there are
        :data:`OTHERS` at most.
    :returns: ``cold/…``; nothing where no held-out event is about a cold item with a text.
    """
    if (mapped := TextMap.of(blend, store)) is None:
        return {}
    tested = Sequences.targets(store, TEST)
    trained = store.popularity()[tested.items] > 0
    new = Sequences.targets(store, COLD) if store.has_cold else tested.only(~trained)
    fewer = OTHERS if limit is None else min(limit, OTHERS)
    cold, warm = (
        EvaluationEvents(Sequences.all_events(store), targets, None, batch_size, most, seed)
        for targets, most in ((new, limit), (tested.only(trained), fewer))
    )
    if not len(cold.events):
        return {}
    plain = TextNeighbours(1.0, 1.0).fit(Evidence.of(store, blend.ranker.items.vectors))

    def among_cold(model: ItemModel) -> Scorer:
        return lambda batch: model.scores(batch[Key.HISTORY]).masked_fill(~mapped.cold, -torch.inf)

    scorers: dict[str, Scorer] = {
        "map": lambda batch: mapped.scores(
            blend.scores(batch[Key.HISTORY], details=batch), batch[Key.HISTORY]
        ),
        "text": among_cold(plain),
        "text-among-all": lambda batch: plain.scores(batch[Key.HISTORY]),
    }
    for model in models.values():
        if isinstance(model, TextNeighbours):
            scorers["TextNeighbours"] = among_cold(model)
    metrics: dict[str, float] = {"cold/events": len(cold.events)}
    metrics["cold/items"] = int(mapped.cold.sum())
    for name, scorer in scorers.items():
        result = evaluate_scores(scorer, cold, showable=LogMask(store))
        metrics |= {f"cold/{name}/{key}": value for key, value in result.metrics([10]).items()}
    chance = torch.Generator().manual_seed(seed)
    explored = partial(with_explored_places, length=10, generator=chance)
    policies: Mapping[str, Places] = {
        f"places-{n}": partial(with_reserved_places, length=10, places=n) for n in PLACES
    } | {f"explore-{rate}": partial(explored, rate=rate) for rate in RATES}
    for part, events in (("cold", cold), ("warm", warm)):
        for policy, ranks in _in_lists(store, blend, mapped, events, policies).items():
            values = event_metrics(ranks, [10])
            for name in ("ndcg@10", "recall@10"):
                mean = float(values[name].sum()) / max(len(ranks), 1)
                metrics[f"cold/{policy}/{part}/{name}"] = mean
    return metrics


@torch.no_grad()
def _in_lists(
    store: EventStore,
    blend: Blend,
    mapped: TextMap,
    events: EvaluationEvents,
    policies: Mapping[str, Places],
) -> dict[str, Tensor]:
    """The targets' ranks (E,) in lists in which new items have places, by policy."""
    ranks = {policy: [torch.zeros(0)] for policy in policies}
    allowed = LogMask(store)
    for batch in events:
        usual = blend.scores(batch[Key.HISTORY], details=batch)
        new = mapped.scores(usual, batch[Key.HISTORY])
        may = allowed(batch[Key.USER], batch[Key.END])
        usual = usual.where(rankable(usual, batch[Key.SEEN], eligible=may), -torch.inf)
        new = new.where(rankable(new, eligible=may), -torch.inf)
        for policy, placed in policies.items():
            lists = placed(usual, new)
            hit = (lists == batch[Key.TARGET][:, None]) & (lists != PADDING)
            ranks[policy].append(torch.where(hit.any(1), hit.int().argmax(1) + 1, torch.inf))
    return {policy: torch.cat(each) for policy, each in ranks.items()}


def cold_section(metrics: Metrics) -> Section | None:
    """Show how new items are ranked, and what their places cost others; None without any."""
    if "cold/events" not in metrics:
        return None
    words = {"recall": "Recall@10", "ndcg": "NDCG@10"}
    corner = "among new items alone"
    among = Table.of(metrics, "cold/{}/{}@10", TITLES, words, corner, TITLES["map"])
    policies = {f"places-{places}": f"{places} reserved" for places in PLACES} | {
        f"explore-{rate}": f"each at random, {100 * rate:.0f} %" for rate in RATES
    }
    warm = [metrics[f"cold/{policy}/warm/ndcg@10"] for policy in policies]
    new = [metrics[f"cold/{policy}/cold/recall@10"] for policy in policies]
    whole = warm[0]
    lost = [f"{100 * (1 - value / whole):.1f} %" if whole else NOTHING for value in warm]
    numbers = (map(number, new), map(number, warm), lost)
    rows = [list(row) for row in zip(policies.values(), *numbers, strict=True)]
    ends = "NDCG@10 of items with events", "Recall@10 of items without"
    shown = len(PLACES)
    curve = Curve(warm[:shown], new[:shown], ends, words=[*map(str, PLACES)])
    return Section(
        "New items",
        f"{int(metrics['cold/events']):,} held-out events are about {int(metrics['cold/items']):,} "
        "items without training events. The first table ranks these items among themselves. In a "
        "list of ten they appear only in places of their own: the last places are reserved, or "
        "each place is drawn at random, so that all new items are tried.",
        [among, Table(["places of ten", "Recall@10, new", "NDCG@10, others", "others lose"], rows)],
        [curve],
        "Ranked among all items by their texts, new items have Recall@10 "
        f"{metrics['cold/text-among-all/recall@10']:.3f}. `lightrec recommend RUN --new 2` "
        "reserves two places; `--explore 0.2` draws them.",
    )
