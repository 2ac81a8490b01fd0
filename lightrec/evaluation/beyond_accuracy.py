"""Beyond the mean of a ranking: whom and what it serves, and what it recommends.

A mean over all events is mostly about popular items and busy users. Slices are made from the
training events alone, so that they are the same for all contenders. Coverage, novelty and
popularity are of the lists that :func:`~lightrec.ranking.metrics.top_items` gives, whether or not
anybody wants them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lightrec.keys import PADDING
from lightrec.ranking.metrics import RankingResult

SLICES = ("warm", "cold", "head", "tail", "short", "medium", "long")
"""The names of slices, in the order of reports."""


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


def head_items(counts: Tensor) -> Tensor:
    """Tell the head of a catalog, which makes up half of its training events, from the tail.

    :param counts: (N + 1,) training events of each item; column 0 is not looked at.
    :returns: (N + 1,) bool: the fewest items that together have half of all training events or
        more, the most popular ones first; of equally popular ones, those of lower index.
    """
    own = counts[1:].double()
    ordered, order = own.sort(descending=True, stable=True)
    # An item is needed where those before it do not suffice.
    needed = ordered.cumsum(0) - ordered < own.sum() / 2
    head = torch.zeros(len(counts), dtype=torch.bool, device=counts.device)
    head[order[needed] + 1] = True
    return head


def event_slices(
    users: Tensor, targets: Tensor, counts: Tensor, lengths: Tensor
) -> dict[str, Tensor]:
    """Sort held-out events into slices.

    - ``warm`` and ``cold``: the target has training events, or none;
    - ``head`` and ``tail``: it is among :func:`head_items`, or is not;
    - ``short``, ``medium`` and ``long``: the user's training history, cut at the tertiles of the
      users that have held-out events. Users whose histories are equally long stay together, so
      that the groups need not be equally large, and are one (``short``) where all are alike.

    :param users: (E,) int64 rows of the user table.
    :param targets: (E,) int64, 1 to N.
    :param counts: (N + 1,) training events of each item.
    :param lengths: (U,) int64 training events of each user.
    :returns: the names of :data:`SLICES`, each with an (E,) bool. Each event belongs to one slice
        of each of the three lines.
    """
    cold = counts[targets] == 0
    head = head_items(counts)[targets]
    own = lengths[users]
    if len(users):
        ordered = lengths[users.unique()].sort().values
        last = len(ordered) - 1
        low, high = ordered[last // 3], ordered[2 * last // 3]
    else:
        low = high = lengths.new_zeros(())
    parts = (~cold, cold, head, ~head, own <= low, (own > low) & (own <= high), own > high)
    return dict(zip(SLICES, parts, strict=True))


def slice_metrics(
    result: RankingResult, slices: Mapping[str, Tensor], cutoffs: Sequence[int] = (10,)
) -> dict[str, float]:
    """Compute the ranking metrics of each slice.

    :param result: how a scorer ranked the events.
    :param slices: by name, (E,) bool, as :func:`event_slices` gives them.
    :param cutoffs: the k of each metric.
    :returns: flat keys such as ``tail/ndcg@10``, means over the slice's events, and
        ``tail/events``, their number. A slice without events has no other key.
    """
    values = result.per_event(cutoffs)
    found: dict[str, float] = {}
    for name, part in slices.items():
        count = int(part.sum())
        found[f"{name}/events"] = count
        if count:
            found |= {f"{name}/{metric}": float(v[part].mean()) for metric, v in values.items()}
    return found
