"""Cross-entropy against a few candidates that stand for the whole catalog."""

import torch
from torch import Tensor

from lightrec.ranking.losses.base import Seen
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.softmax_loss import softmax_loss


def candidate_softmax(
    ranker: Ranker,
    states: Tensor,
    target: Tensor,
    seen: Seen,
    items: Tensor,
    correction: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Mean cross-entropy of the next item against candidates shared by all rows.

    :param states: (R, D).
    :param target: (R,) int64; a row's own item is counted once, whether it is a candidate or not.
    :param items: (M,) int64 distinct candidates, 1 to N.
    :param correction: (M,) added to the candidates' logits.
    :param temperature: by which scores are divided, corrections are not.
    :returns: a scalar.
    """
    given = ranker.item_bias()
    bias = states.new_zeros(ranker.num_items + 1) if given is None else given
    positive = (states * ranker.items(target)).sum(dim=1) + bias[target]
    # Column 0 stays the padding's, so that whatever is no candidate is blocked there.
    items = torch.cat([items.new_zeros(1), items])
    weights = ranker.items(items)
    added = torch.cat([correction.new_zeros(1), correction])
    place = torch.zeros(ranker.num_items + 1, dtype=torch.int64, device=items.device)
    place[items] = torch.arange(len(items), device=items.device)

    def blocked(rows: slice) -> Tensor:
        own = target[rows, None]
        return place[torch.cat([own, torch.zeros_like(own), seen(rows)], dim=1)]

    return softmax_loss(
        states / temperature,
        weights,
        bias[items] / temperature + added,
        blocked,
        positive / temperature,
    )
