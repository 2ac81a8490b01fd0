"""Cross-entropy over the whole catalog."""

import torch
from torch import Tensor

from lightrec.ranking.losses.base import RankingLoss, Seen
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.softmax_loss import softmax_loss


class SoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against all others, in blocks; the default.

    No more than a block of logits exists at a time, so that memory grows with the catalog's vectors
    and not with rows times items. :func:`torch.nn.functional.linear_cross_entropy` is not used
    where torch has it: it cannot leave out the items that a row has seen.
    """

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Mean cross-entropy; see :meth:`~lightrec.ranking.losses.base.RankingLoss.forward`."""
        given = ranker.item_bias()
        bias = states.new_zeros(ranker.num_items + 1) if given is None else given
        weights = ranker.item_vectors()
        positive = (states * weights[target]).sum(dim=1) + bias[target]

        def blocked(rows: slice) -> Tensor:
            own = target[rows, None]
            return torch.cat([own, torch.zeros_like(own), seen(rows)], dim=1)

        return softmax_loss(states, weights, bias, blocked, positive)
