"""Losses that compare the next item with one other at a time."""

from torch import Tensor
from torch.nn import functional

from lightrec.ranking.losses.base import RankingLoss, Seen, at_least_one
from lightrec.ranking.losses.negatives import drawn_scores
from lightrec.ranking.ranker import Ranker


class BPRLoss(RankingLoss):
    """Bayesian personalised ranking (Rendle et al. 2009): the next item beats items drawn alike.

    A row's loss is the mean of -log σ(score of the next item - score of a negative).

    :param negatives: draws for each row.
    :raises ValueError: where there are no negatives.
    """

    def __init__(self, negatives: int = 1) -> None:
        super().__init__()
        self.negatives = at_least_one(negatives)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Mean pairwise loss; see :meth:`~lightrec.ranking.losses.base.RankingLoss.forward`."""
        scores = drawn_scores(ranker, states, target, seen, self.negatives)
        losses = functional.softplus(scores.negative - scores.positive[:, None])
        return scores.mean_of_negatives(losses).sum() / max(len(target), 1)
