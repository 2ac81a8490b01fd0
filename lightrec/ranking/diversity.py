"""Lists whose items differ from each other."""

import torch
from torch import Tensor
from torch.nn import functional


def diversified(
    scores: Tensor, vectors: Tensor, length: int, variety: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Choose items one by one: good ones, unlike those chosen before.

    Maximal marginal relevance (Carbonell and Goldstein 1998), with scores divided by the highest
    and the cosine of item vectors as similarity.

    :param scores: (N + 1,) of 0 or more; -inf for what may not come.
    :param vectors: (N + 1, D).
    :param length: how many to choose, k.
    :param variety: 0 goes by scores alone, 1 by difference alone.
    :returns: (k,) int64 items in the order chosen, 0 where nothing is left; and (k,) their marginal
        relevance when they were chosen, -inf where nothing is left. That is the score as a share of
        the highest, times 1 - ``variety``, less ``variety`` times the highest cosine with an item
        chosen before (0 where all are negative), and never rises along the list.
    """
    units = functional.normalize(vectors, dim=1)
    left = scores > -torch.inf
    relevance = scores.where(left, 0) / scores.max().clamp_min(1e-12)
    nearest = torch.zeros_like(scores)
    items = torch.zeros(length, dtype=torch.int64)
    values = torch.full((length,), -torch.inf)
    for place in range(min(length, int(left.sum()))):
        value = ((1 - variety) * relevance - variety * nearest).masked_fill(~left, -torch.inf)
        best = int(value.argmax())
        items[place], values[place] = best, value[best]
        left[best] = False
        nearest = torch.maximum(nearest, units @ units[best])
    return items, values
