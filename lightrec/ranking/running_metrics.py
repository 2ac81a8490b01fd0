"""Ranking metrics that gather over batches and processes, as a torchmetrics class."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightrec.ranking.metrics import CUTOFFS, event_metrics, mean_ranks


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
        """The mean of each metric over all events; 0 where there were none."""
        ranks = dim_zero_cat(self.ranks) if len(self.ranks) else torch.zeros(0, device=self.device)
        values = event_metrics(ranks, self.cutoffs)
        return {name: value.sum() / max(len(ranks), 1) for name, value in values.items()}
