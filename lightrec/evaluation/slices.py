"""Whom and what a ranking serves: the same metrics over parts of the held-out events.

A mean over all events is mostly about popular items and busy users. Slices are made from the
training events alone, so that they are the same for all contenders.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lightrec.ranking.metrics import RankingResult

SLICES = ("warm", "cold", "head", "tail", "short", "medium", "long")
"""The names of slices, in the order of reports."""


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
