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
    :returns: (k,) int64 items in the order chosen, 0 where nothing is left, and their scores.
    """
    units = functional.normalize(vectors, dim=1)
    relevance = scores / scores.max().clamp_min(1e-12)
    nearest = torch.zeros_like(scores)
    items = torch.zeros(length, dtype=torch.int64)
    for place in range(length):
        value = (1 - variety) * relevance - variety * nearest
        best = int(value.argmax())
        if value[best] == -torch.inf:
            break
        items[place] = best
        relevance[best] = -torch.inf
        nearest = torch.maximum(nearest, units @ units[best])
    return items, scores[items]
