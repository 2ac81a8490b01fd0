"""Ranking metrics that gather over batches and processes, as torchmetrics' classes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightrec.ranking.metrics import (
    CUTOFFS,
    QUERY_METRICS,
    event_metrics,
    mean_ranks,
    query_metrics,
)


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
        """Take a batch, as in :func:`~lightrec.ranking.metrics.mean_ranks`."""
        self.ranks.append(mean_ranks(scores, target, seen).float().to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Give the mean of each metric over all events; 0 where there were none."""
        ranks = dim_zero_cat(self.ranks) if len(self.ranks) else torch.zeros(0, device=self.device)
        values = event_metrics(ranks, self.cutoffs)
        return {name: value.sum() / max(len(ranks), 1) for name, value in values.items()}


class QueryMetrics(Metric):
    """Means over queries of NDCG, recall, MRR, hit rate and MAP at some cutoffs.

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
        zeros = torch.zeros(len(QUERY_METRICS) * len(self.cutoffs), dtype=torch.float64)
        self.add_state("sums", default=zeros, dist_reduce_fx="sum")
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, relevant: Tensor, seen: Tensor | None = None) -> None:
        """Take a batch, as in :func:`~lightrec.ranking.metrics.query_metrics`."""
        values = query_metrics(scores, relevant, seen, self.cutoffs)
        self.sums += torch.stack([value.sum() for value in values.values()])
        self.count += len(scores)

    def compute(self) -> dict[str, Tensor]:
        """Give the mean of each metric over all queries; 0 where there were none."""
        names = [f"{name}@{cutoff}" for name in QUERY_METRICS for cutoff in self.cutoffs]
        means = self.sums / self.count.clamp(min=1)
        return dict(zip(names, means.unbind(), strict=True))
