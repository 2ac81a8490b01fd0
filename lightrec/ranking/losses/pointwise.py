"""Losses that judge each item alone: was it the next one, or not?"""

from torch import Tensor
from torch.nn import functional

from lightrec.ranking.losses.base import RankingLoss, Seen, at_least_one
from lightrec.ranking.losses.negatives import drawn_scores
from lightrec.ranking.ranker import Ranker


class BCELoss(RankingLoss):
    """Binary cross-entropy of the next item and of items drawn for each row, all alike.

    A row's loss is the mean over its own item and the negatives that count; with one negative this
    is half of SASRec's (Kang and McAuley 2018).

    :param negatives: draws for each row.
    :raises ValueError: where there are no negatives.
    """

    def __init__(self, negatives: int = 1) -> None:
        super().__init__()
        self.negatives = at_least_one(negatives)

    def weight(self, num_items: int) -> float:
        """By what the part of the row's own item is multiplied."""
        return 1.0

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Mean binary cross-entropy; see :meth:`.RankingLoss.forward`."""
        scores = drawn_scores(ranker, states, target, seen, self.negatives)
        positive = self.weight(ranker.num_items) * functional.softplus(-scores.positive)
        negative = (functional.softplus(scores.negative) * scores.counts).sum(dim=1)
        losses = (positive + negative) / (1 + scores.counts.sum(dim=1))
        return losses.sum() / max(len(target), 1)


class GBCELoss(BCELoss):
    """Generalised binary cross-entropy, gSASRec's loss (Petrov and Macdonald 2023).

    Where few of many negatives are drawn, binary cross-entropy makes σ(score) larger than the
    probability of the next item. The next item's likelihood is therefore raised to the power
    β = α (t (1 - 1/α) + 1/α), where α = negatives / (N - 1) is the share that is drawn. With t = 1
    σ(score) estimates the probability; t = 0 is :class:`BCELoss`.

    :param negatives: draws for each row; the authors take 256.
    :param calibration: t, from 0 to 1; the authors take 0.75.
    :raises ValueError: where there are no negatives, or t is not between 0 and 1.
    """

    def __init__(self, negatives: int = 256, calibration: float = 0.75) -> None:
        super().__init__(negatives)
        if not 0 <= calibration <= 1:
            raise ValueError(
                f"A calibration of {calibration} is not possible: give a number from 0, for binary "
                "cross-entropy, to 1, for probabilities as a softmax gives them."
            )
        self.calibration = calibration

    def weight(self, num_items: int) -> float:
        """Give β; more draws than items are as good as all of them."""
        share = min(self.negatives / max(num_items - 1, 1), 1.0)
        return share * (self.calibration * (1 - 1 / share) + 1 / share)
