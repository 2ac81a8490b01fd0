"""Ranking metrics of queries with several relevant items, vectorised, on the device.

A query is whatever is ranked once: a user with all of its held-out items, a basket, a search.
Events with one relevant item, as lightrec's own evaluation has them, are in ``ranking.py``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lightrec.errors import RunError
from lightrec.keys import PADDING
from lightrec.ranking.metrics import CUTOFFS, rankable

NAMES = ("ndcg", "recall", "mrr", "hitrate")


def query_metrics(
    scores: Tensor,
    relevant: Tensor,
    seen: Tensor | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, Tensor]:
    """Compute each query's metrics, all relevant items being equally relevant.

    With R relevant items, of which some stand at ranks r <= k: NDCG@k is the sum of their
    1 / log2(1 + r), divided by what the best order of R items would reach; recall@k is their number
    over R; MRR@k is one over the first one's rank; hitrate@k is 1 where there is any (Järvelin and
    Kekäläinen 2002 for NDCG, Voorhees 1999 for MRR).

    Items with equal scores stand in random order, and each metric is its expected value over that
    order, so that a scorer that says the same of all gains what a random one gains. Where a query
    has one relevant item and its score is nobody else's, all is as in
    :func:`~lightrec.ranking.metrics.event_metrics`, whose rule for equal scores is another one
    (the mean of their ranks).

    :param scores: (B, N + 1), higher is better; column 0 never takes part.
    :param relevant: (B, R) int64, 1 to N, padded with 0 in any place; an item that is listed twice
        counts once. They take part even where they are among the seen.
    :param seen: (B, S) int64 items that do not take part, padded with 0 in any place.
    :param cutoffs: the k of each metric.
    :returns: name such as ``ndcg@10`` to (B,) float64 between 0 and 1.
    :raises RunError: where a score is not a number, or a query has no relevant item.
    """
    relevant = relevant.sort(dim=1).values
    valid = relevant != PADDING
    valid[:, 1:] &= relevant[:, 1:] != relevant[:, :-1]
    count = valid.sum(dim=1)
    if not count.all():
        rows = (count == 0).nonzero().flatten()
        raise RunError(
            f"{len(rows)} queries of a batch have no relevant item, the first one in row "
            f"{int(rows[0])}: nothing could be found there; leave such queries out."
        )
    deepest = max(cutoffs)
    above, equal = _places(scores, relevant, seen, deepest)
    steps = torch.arange(1, deepest + 1, device=scores.device)
    discounts = (1 / torch.log2(1 + steps.double())).cumsum(0)
    discounts = torch.cat([discounts.new_zeros(1), discounts])
    first, missed = _first_found(above, equal, valid, deepest)
    found_at = missed[:, :-1] - missed[:, 1:]
    ranks = first[:, None] + steps
    values: dict[str, dict[int, Tensor]] = {name: {} for name in NAMES}
    for cutoff in cutoffs:
        begin, end = above.clamp(max=cutoff), (above + equal).clamp(max=cutoff)
        gain = ((discounts[end] - discounts[begin]) / equal * valid).sum(dim=1)
        values["ndcg"][cutoff] = gain / discounts[count.clamp(max=cutoff)]
        values["recall"][cutoff] = ((end - begin) / equal.double() * valid).sum(dim=1) / count
        values["mrr"][cutoff] = (found_at / ranks * (ranks <= cutoff)).sum(dim=1)
        free = (cutoff - first).clamp(min=0)
        values["hitrate"][cutoff] = 1 - missed.gather(1, free[:, None]).squeeze(1)
    return {f"{name}@{k}": value for name, own in values.items() for k, value in own.items()}


def _places(
    scores: Tensor, relevant: Tensor, seen: Tensor | None, deepest: int
) -> tuple[Tensor, Tensor]:
    """Count, for each relevant item, those above it and those equal to it, itself included.

    Only the first ``deepest`` places matter, so that the rest need not be sorted: of an item below
    them all that is told is that as many or more are above it.

    :returns: two (B, R) int64; what they say of padding is not to be used.
    """
    allowed = rankable(scores, seen, relevant)
    own = scores.gather(1, relevant)
    rest = scores.where(allowed, -torch.inf)
    top = rest.topk(min(deepest, rest.shape[1]), dim=1).values
    last, ascending = top[:, -1:], top.flip(1).contiguous()
    right = torch.searchsorted(ascending, own, right=True)
    inside = right - torch.searchsorted(ascending, own)
    # Those equal to the last of the top go on below it.
    whole = ((scores == last) & allowed).sum(dim=1, keepdim=True)
    return top.shape[1] - right, inside.where(own != last, whole).clamp(min=1)


def _first_found(
    above: Tensor, equal: Tensor, valid: Tensor, deepest: int
) -> tuple[Tensor, Tensor]:
    """Look at the best relevant items, which are the first to be found.

    :returns: (B,) int64 how many items stand above the best relevant one and its equals, and
        (B, deepest + 1) float64 the probability that the first 0, 1, … of those equals hold no
        relevant item, drawing without replacement.
    """
    first, best = above.where(valid, torch.iinfo(torch.int64).max).min(dim=1)
    size = equal.gather(1, best[:, None])
    hits = ((above == first[:, None]) & valid).sum(dim=1, keepdim=True)
    drawn = torch.arange(deepest, device=above.device)
    miss = (size - hits - drawn).clamp(min=0).double() / (size - drawn).clamp(min=1)
    missed = torch.cat([torch.ones_like(miss[:, :1]), miss.cumprod(dim=1)], dim=1)
    return first, missed


class QueryMetrics(Metric):
    """Means over queries of NDCG, recall, MRR and hit rate at some cutoffs.

    Keeps sums only, whatever the number of queries.

    :param cutoffs: the k of each metric.
    """

    full_state_update = False
    higher_is_better = True
    sums: Tensor
    count: Tensor

    def __init__(self, cutoffs: Sequence[int] = CUTOFFS) -> None:
        super().__init__()
        self.cutoffs = tuple(cutoffs)
        zeros = torch.zeros(len(NAMES) * len(self.cutoffs), dtype=torch.float64)
        self.add_state("sums", default=zeros, dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, relevant: Tensor, seen: Tensor | None = None) -> None:
        """Take a batch, as in :func:`query_metrics`."""
        values = query_metrics(scores, relevant, seen, self.cutoffs)
        self.sums += torch.stack([value.sum() for value in values.values()])
        self.count += len(scores)

    def compute(self) -> dict[str, Tensor]:
        """Give the mean of each metric over all queries; 0 where there were none."""
        names = [f"{name}@{cutoff}" for name in NAMES for cutoff in self.cutoffs]
        means = self.sums / self.count.clamp(min=1)
        return dict(zip(names, means.unbind(), strict=True))
