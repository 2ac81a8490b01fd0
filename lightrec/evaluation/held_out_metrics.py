"""What is said of a ranking of the held-out log: means, slices, recommendations, comparisons.

Who is ranked, and how, is in ``held_out.py``.
"""

import math

import numpy as np
import torch

from lightrec.data.store import TRAIN, EventStore
from lightrec.evaluation.beyond_accuracy import BeyondAccuracy
from lightrec.evaluation.slices import event_slices, slice_metrics
from lightrec.ranking.metrics import RankingResult

LIST_LENGTH = 10
"""How many recommendations coverage, novelty and popularity are about."""


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
