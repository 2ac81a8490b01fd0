"""What recommendations are like, whether or not anybody wants them: coverage, novelty, popularity.

Computed from the lists that :func:`~lightrec.ranking.metrics.top_items` gives.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from lightrec.keys import PADDING


def popularity_percentiles(counts: Tensor) -> Tensor:
    """Tell which share of the catalog is less popular than each item.

    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :returns: (N + 1,) float64 between 0 and 1: the share of items with smaller counts, and half of
        the share of those with equal ones (itself included), so that the catalog's mean is 1 / 2.
        Column 0 is 0.
    """
    own = counts[1:]
    ordered = own.sort().values
    below = torch.searchsorted(ordered, own)
    up_to = torch.searchsorted(ordered, own, right=True)
    percentiles = torch.zeros(len(counts), dtype=torch.float64, device=counts.device)
    percentiles[1:] = (below + up_to).double() / (2 * max(len(own), 1))
    return percentiles


class BeyondAccuracy(Metric):
    """Coverage, novelty and popularity bias of recommendations at one cutoff.

    - ``coverage@k``: the share of the catalog that stands in anybody's list.
    - ``novelty@k``: the mean self-information of what is recommended, in bits: -log2 of the item's
      share of all training events (Zhou et al. 2010; Vargas and Castells 2011). An item without
      training events counts as though it had one, so that the number stays finite.
    - ``popularity_percentile@k``: the mean share of the catalog that is less popular than what is
      recommended. Items drawn at random have 0.5.
    - ``popularity_ratio@k``: the mean training count of what is recommended, over the mean training
      count of what was chosen in training. Above 1, recommendations are more popular than choices.

    Keeps one number an item, whatever the number of lists.

    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :param cutoff: k.
    """

    full_state_update = False
    shown: Tensor
    counts: Tensor

    def __init__(self, counts: Tensor, cutoff: int = 10) -> None:
        super().__init__()
        self.cutoff = cutoff
        counts = counts.double().index_fill(0, torch.tensor([PADDING], device=counts.device), 0)
        self.register_buffer("counts", counts, persistent=False)
        empty = torch.zeros(len(counts), dtype=torch.int64)
        self.add_state("shown", default=empty, dist_reduce_fx="sum")

    def update(self, lists: Tensor) -> None:
        """Take a batch.

        :param lists: (B, K) int64, best first, K at least the cutoff; 0 is no recommendation.
        :raises ValueError: where the lists are shorter than the cutoff.
        """
        if lists.shape[1] < self.cutoff:
            raise ValueError(
                f"Lists of {lists.shape[1]} items say nothing of a cutoff of {self.cutoff}; give "
                "lists at least as long."
            )
        items = lists[:, : self.cutoff].flatten()
        self.shown += items.bincount(minlength=len(self.shown))

    def compute(self) -> dict[str, Tensor]:
        """Give the four numbers, float64; 0 where nothing was recommended."""
        shown = self.shown.double()
        shown[PADDING] = 0
        weights = shown / shown.sum().clamp(min=1)
        total = self.counts.sum()
        information = total.clamp(min=1).log2() - self.counts.clamp(min=1).log2()
        chosen = self.counts.square().sum() / total.clamp(min=1)
        found = {
            "coverage": (shown > 0).sum() / max(len(shown) - 1, 1),
            "novelty": weights @ information,
            "popularity_percentile": weights @ popularity_percentiles(self.counts),
            # Where nothing was chosen in training, nothing can be more popular than that.
            "popularity_ratio": weights @ self.counts / chosen.where(chosen > 0, 1.0),
        }
        return {f"{name}@{self.cutoff}": value.double() for name, value in found.items()}
