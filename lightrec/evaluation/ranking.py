"""Ranking metrics over the whole catalog: NDCG, recall and MRR, from ranks on the device.

Every held-out event has one relevant item. Items already seen are left out, and items with equal
scores share the mean of their ranks, so that a scorer that says the same of all gains nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightrec.errors import RunError
from lightrec.keys import PADDING, Key

CUTOFFS = (5, 10, 20)

Scorer = Callable[[Mapping[str, Tensor]], Tensor]
"""From a batch (history (B, L), user (B,), …) to scores (B, N + 1), higher is better."""


def mean_ranks(scores: Tensor, target: Tensor, seen: Tensor | None = None) -> Tensor:
    """Rank each row's target among the items that may be shown.

    :param scores: (B, N + 1); column 0 never takes part.
    :param target: (B,) int64, 1 to N; takes part even where it is among the seen.
    :param seen: (B, S) int64 items that do not take part, padded with 0 in any place.
    :returns: (B,) float64 ranks from 1; equal scores share the mean of their ranks.
    :raises RunError: where a score is not a number.
    """
    if scores.isnan().any():
        raise RunError("Some scores are not numbers (NaN), so that items cannot be ranked by them.")
    allowed = torch.ones_like(scores, dtype=torch.bool)
    allowed[:, PADDING] = False
    if seen is not None:
        allowed.scatter_(1, seen, False)
    column = target[:, None]
    allowed.scatter_(1, column, True)
    own = scores.gather(1, column)
    above = ((scores > own) & allowed).sum(dim=1)
    equal = ((scores == own) & allowed).sum(dim=1)
    return above + (equal + 1).double() / 2


def event_metrics(ranks: Tensor, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Tensor]:
    """Turn ranks into each event's metrics.

    With one relevant item at rank r, NDCG@k is 1 / log2(1 + r), recall@k is 1 and MRR@k is 1 / r
    where r <= k, else 0 (Järvelin and Kekäläinen 2002, for NDCG).

    :param ranks: (B,).
    :returns: name such as ``ndcg@10`` to (B,) float64.
    """
    ranks = ranks.double()
    values: dict[str, Tensor] = {}
    for name, gain in (
        ("ndcg", 1 / torch.log2(1 + ranks)),
        ("recall", torch.ones_like(ranks)),
        ("mrr", 1 / ranks),
    ):
        for cutoff in cutoffs:
            values[f"{name}@{cutoff}"] = torch.where(ranks <= cutoff, gain, 0.0)
    return values


class RankingMetrics(Metric):
    """Means of NDCG, recall and MRR at some cutoffs; keeps one number an event.

    :param cutoffs: the k of each metric.
    """

    full_state_update = False
    higher_is_better = True
    ranks: list[Tensor]

    def __init__(self, cutoffs: Sequence[int] = CUTOFFS) -> None:
        super().__init__()
        self.cutoffs = tuple(cutoffs)
        self.add_state("ranks", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, target: Tensor, seen: Tensor | None = None) -> None:
        """Take a batch, as in :func:`mean_ranks`."""
        self.ranks.append(mean_ranks(scores, target, seen).float())

    def compute(self) -> dict[str, Tensor]:
        """Give the mean of each metric over all events; 0 where there were none."""
        ranks = dim_zero_cat(self.ranks) if self.ranks else torch.zeros(0, device=self.device)
        values = event_metrics(ranks, self.cutoffs)
        return {name: value.sum() / max(len(ranks), 1) for name, value in values.items()}


@dataclass(frozen=True)
class RankingResult:
    """How a scorer ranked the held-out events, one number an event, in the batches' order.

    :param users: (E,) int64 rows of the user table.
    :param targets: (E,) int64 held-out items.
    :param ranks: (E,) float64.
    """

    users: Tensor
    targets: Tensor
    ranks: Tensor

    def per_event(self, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Tensor]:
        """Metrics of each event, (E,) float64, for paired comparisons."""
        return event_metrics(self.ranks, cutoffs)

    def metrics(self, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
        """Means over events; 0 where there are none."""
        count = max(len(self.ranks), 1)
        return {n: float(v.sum()) / count for n, v in self.per_event(cutoffs).items()}

    def difference(self, other: "RankingResult", metric: str = "ndcg@10") -> tuple[float, float]:
        """Compare with another scorer on the same events.

        Events of one user are not independent: the standard error is taken over users' sums.

        :returns: mean of this minus the other, and the standard error of that mean.
        :raises ValueError: where the two did not rank the same events in the same order.
        """
        if not (torch.equal(self.users, other.users) and torch.equal(self.targets, other.targets)):
            raise ValueError("The two results are not about the same events in the same order.")
        cutoffs = [int(metric.partition("@")[2])]
        difference = self.per_event(cutoffs)[metric] - other.per_event(cutoffs)[metric]
        mean = difference.mean()
        owners, place = self.users.unique(return_inverse=True)
        sums = torch.zeros(len(owners), dtype=torch.float64).index_add(0, place, difference - mean)
        count = max(len(owners), 2)
        error = (sums.square().sum() * count / (count - 1)).sqrt() / len(difference)
        return float(mean), float(error)


@torch.no_grad()
def evaluate_scores(
    scorer: Scorer,
    batches: Iterable[Mapping[str, Tensor]],
    filter_seen: bool = True,
    device: torch.device | str = "cpu",
) -> RankingResult:
    """Rank the held-out events of some batches.

    :param scorer: gives the scores of all items for a batch.
    :param batches: with ``history``, ``target``, ``seen`` and ``user``, as
        ``SequenceData.test_dataloader()`` gives them.
    :param filter_seen: whether items already seen are left out.
    :param device: where batches are put and scores compared.
    """
    users, targets, ranks = [], [], []
    for batch in batches:
        here = {name: value.to(device) for name, value in batch.items()}
        seen = here[Key.SEEN] if filter_seen else None
        ranks.append(mean_ranks(scorer(here).to(device), here[Key.TARGET], seen).cpu())
        users.append(batch[Key.USER].cpu())
        targets.append(batch[Key.TARGET].cpu())
    if not ranks:
        empty = torch.zeros(0, dtype=torch.int64)
        return RankingResult(empty, empty, torch.zeros(0, dtype=torch.float64))
    return RankingResult(torch.cat(users), torch.cat(targets), torch.cat(ranks))
