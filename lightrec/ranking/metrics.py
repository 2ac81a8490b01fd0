"""Ranking metrics of held-out events: NDCG, recall and MRR, on the device of the scores.

Items already seen are left out, and items with equal scores gain no more than by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.data.domain import Showable
from lightrec.errors import RunError
from lightrec.intervals import Interval, bootstrap_interval
from lightrec.keys import PADDING, Key
from lightrec.nn.precision import as_float64
from lightrec.ranking.scorers import Scorer

CUTOFFS = (5, 10, 20)


def rankable(
    scores: Tensor,
    seen: Tensor | None = None,
    relevant: Tensor | None = None,
    eligible: Tensor | None = None,
) -> Tensor:
    """Tell which items take part in a ranking.

    :param scores: (B, N + 1).
    :param seen: (B, S) int64 items that do not take part, padded with 0 in any place.
    :param relevant: (B, R) int64 items that take part even where they are among the seen, padded
        with 0 in any place.
    :param eligible: (B, N + 1) bool, what may be shown at all; None where everything may be.
    :returns: (B, N + 1) bool; column 0 never takes part.
    :raises RunError: where a score is not a number.
    """
    # The sum is read in a fraction of the time; infinities of both signs are not a number there.
    if scores.sum().isnan() and scores.isnan().any():
        raise RunError("Some scores are not numbers (NaN), so that items cannot be ranked by them.")
    allowed = torch.ones_like(scores, dtype=torch.bool)
    if seen is not None:
        allowed.scatter_(1, seen, False)
    if relevant is not None:
        allowed.scatter_(1, relevant, True)
    if eligible is not None:
        allowed &= eligible
    allowed[:, PADDING] = False
    return allowed


def mean_ranks(
    scores: Tensor, target: Tensor, seen: Tensor | None = None, eligible: Tensor | None = None
) -> Tensor:
    """Rank each row's target among the items that may be shown, see :func:`rankable`.

    :param target: (B,) int64, 1 to N; takes part even where it is among the seen.
    :returns: (B,) float64 ranks from 1, on the CPU where the device has no float64; equal scores
        share the mean of their ranks. A target that may not be shown has the rank infinity: it is
        missed at every cutoff.
    """
    column = target[:, None]
    allowed = rankable(scores, seen, column, eligible)
    target_score = scores.gather(1, column)
    above, equal = (
        # Row by row, which torch counts twenty times as fast as along a dimension.
        torch.stack([row.count_nonzero() for row in found.logical_and_(allowed)])
        if found.device.type == "cpu" and len(found)
        else found.logical_and_(allowed).sum(dim=1)
        for found in (scores > target_score, scores == target_score)
    )
    ranks = as_float64(2 * above + equal + 1) / 2
    ranked = allowed.gather(1, column).squeeze(1)
    return ranks.where(ranked.to(ranks.device), torch.inf)


def top_items(
    scores: Tensor, length: int, seen: Tensor | None = None, eligible: Tensor | None = None
) -> Tensor:
    """List the items of highest score of those that may be shown, see :func:`rankable`.

    Of items with equal scores the lower index comes first, so that the same scores give the same
    list on every device.

    :param length: K.
    :returns: (B, K) int64, best first, 0 at the end where fewer items take part.
    """
    allowed = rankable(scores, seen, eligible=eligible)
    scores = scores.where(allowed, -torch.inf)
    columns = scores.shape[1]
    values, items = scores.topk(min(length + 1, columns), dim=1)
    # Equal items by index.
    items = items[:, :length].sort(dim=1).values
    order = scores.gather(1, items).sort(dim=1, descending=True, stable=True).indices
    listed = functional.pad(items.gather(1, order), (0, length - items.shape[1]))
    # Which of several equal items topk takes is left open: where the list ends among equals, or
    # runs out of items, the whole row is sorted.
    last = values[:, min(length, columns) - 1]
    unsure = ((values[:, -1] == last) | (last == -torch.inf)).nonzero().flatten()
    if len(unsure):
        order = scores[unsure].sort(dim=1, descending=True, stable=True).indices
        first = (~allowed[unsure].gather(1, order)).to(torch.int8).sort(dim=1, stable=True).indices
        best = order.gather(1, first)[:, :length]
        listed[unsure, : best.shape[1]] = best * allowed[unsure].gather(1, best)
    return listed


def event_metrics(ranks: Tensor, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Tensor]:
    """Turn ranks into each event's metrics.

    With one relevant item at rank r, NDCG@k is 1 / log2(1 + r), recall@k is 1 and MRR@k is 1 / r
    where r <= k, else 0 (Järvelin and Kekäläinen 2002, for NDCG). The hit rate equals the recall.

    :param ranks: (B,).
    :returns: name such as ``ndcg@10`` to (B,) float64.
    """
    ranks = as_float64(ranks)
    gains = {"ndcg": 1 / torch.log2(1 + ranks), "recall": torch.ones_like(ranks), "mrr": 1 / ranks}
    return {
        f"{name}@{cutoff}": torch.where(ranks <= cutoff, gain, 0.0)
        for name, gain in gains.items()
        for cutoff in cutoffs
    }


@dataclass(frozen=True)
class RankingResult:
    """Ranks of the held-out events by a scorer, one number an event, in the batches' order.

    :param users: (E,) int64 rows of the user table.
    :param targets: (E,) int64 held-out items.
    :param ranks: (E,) float64; infinity where the held-out item may not be shown to its user.
    :param lists: (E, K) int64, what would have been recommended at each event, best first, as
        :func:`top_items` gives it; without columns where nobody asked.
    """

    users: Tensor
    targets: Tensor
    ranks: Tensor
    lists: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))

    @property
    def ineligible(self) -> int:
        """Number of events about an item that may not be shown to its user."""
        return int(self.ranks.isinf().sum())

    def per_event(self, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Tensor]:
        """Metrics of each event, (E,) float64, for paired comparisons."""
        return event_metrics(self.ranks, cutoffs)

    def metrics(self, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
        """Means over events; 0 where there are none."""
        count = max(len(self.ranks), 1)
        return {n: float(v.sum()) / count for n, v in self.per_event(cutoffs).items()}

    def paired(self, other: "RankingResult", metric: str = "ndcg@10") -> Tensor:
        """Subtract another scorer's metric, event by event.

        :returns: (E,) float64, this minus the other.
        :raises ValueError: where the two did not rank the same events in the same order.
        """
        if not (torch.equal(self.users, other.users) and torch.equal(self.targets, other.targets)):
            raise ValueError("The two results are not about the same events in the same order.")
        cutoffs = [int(metric.partition("@")[2])]
        return self.per_event(cutoffs)[metric] - other.per_event(cutoffs)[metric]

    def bootstrap(self, other: "RankingResult", metric: str = "ndcg@10", seed: int = 0) -> Interval:
        """Compare with another scorer on the same events, users drawn again.

        :returns: mean of this minus the other with its 95 % interval.
        :raises ValueError: as :meth:`paired`, or where there are no events.
        """
        return bootstrap_interval(self.paired(other, metric), self.users, seed=seed)


@torch.no_grad()
def evaluate_scores(
    scorer: Scorer,
    batches: Iterable[Mapping[str, Tensor]],
    list_length: int = 0,
    showable: Showable | None = None,
) -> RankingResult:
    """Rank the held-out events of some batches, without the items already seen.

    :param scorer: gives the scores of all items for a batch.
    :param batches: with ``history``, ``target``, ``seen`` and ``user``, as
        ``SequenceData.test_dataloader()`` gives them.
    :param list_length: how many recommendations are kept of each event.
    :param showable: gives what may be shown to users, whose histories end somewhere; None where
        everything may be.
    """
    none = torch.zeros(0, dtype=torch.int64)
    users, targets, ranks = [none], [none], [none.double()]
    lists = [none.new_zeros(0, list_length)]
    for batch in batches:
        here = {name: value.cpu() for name, value in batch.items()}
        scores, seen = scorer(here).cpu(), here[Key.SEEN]
        allowed = None if showable is None else showable(here[Key.USER], here.get(Key.END))
        ranks.append(mean_ranks(scores, here[Key.TARGET], seen, allowed))
        if list_length:
            lists.append(top_items(scores, list_length, seen, allowed))
        users.append(here[Key.USER])
        targets.append(here[Key.TARGET])
    return RankingResult(*map(torch.cat, (users, targets, ranks, lists)))
