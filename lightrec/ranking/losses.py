"""Losses of rankers: what training makes small, each a class that a recipe can name."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.nn.part import Part
from lightrec.nn.precision import as_float32, as_float64
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.softmax_loss import softmax_loss


def proposal(counts: Tensor, power: float = 0.75) -> Tensor:
    """Probabilities of drawing each item: popularity, smoothed and flattened.

    :param counts: (N + 1,) events of each item; column 0 is never drawn.
    :param power: 0 draws all items alike, 1 by popularity (0.75: Mikolov et al. 2013).
    :returns: (N + 1,) float64 that sums to 1, on the CPU where the device has no float64.
    """
    weight = (as_float64(counts) + 1) ** power
    weight[0] = 0
    return weight / weight.sum()


def draw_negatives(probabilities: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Draw items with replacement and give the distinct ones with their log-corrections.

    With the correction added to its logit an item stands for all those not drawn: the sum of
    exponentials over the drawn is then an unbiased estimate of the sum over all (logQ correction,
    Bengio and Senécal 2008; here with the probability of being among the distinct ones).

    :param probabilities: (N + 1,) from :func:`proposal`.
    :param number: draws K.
    :returns: (M,) int64 ascending items, M <= K, and (M,) float32 corrections, all >= 0.
    """
    chances = as_float64(probabilities)
    total = chances.cumsum(0)
    points = torch.rand(number, dtype=torch.float64, device=total.device) * total[-1]
    items = torch.searchsorted(total, points, right=True).clamp(max=len(total) - 1).unique()
    inclusion = -torch.expm1(number * torch.log1p(-chances[items]))
    device = probabilities.device
    return items.to(device), as_float32(-inclusion.log(), device)


Seen = Callable[[slice], Tensor]
"""From some rows to the items that each of them has seen, (rows, S) int64, 0 where there is none.

Asked for block by block, since all rows' items at once may be more than fit."""


class RankingLoss(Part, ABC):
    """How far a ranker is from ranking the next item first.

    A row is one prediction: a state of the user tower and the item that came next. Items that a row
    has seen are nobody's negatives; a row without negatives costs nothing but its own item's part.

    Subclass it, and a recipe can name the class: ``loss: {class_path: my_package.MyLoss}``. The
    constructor's arguments are plain Python, each kept as an attribute of its own name, because
    checkpoints hold :attr:`~lightrec.nn.part.Part.description`.
    """

    def prepare(self, popularity: Tensor) -> None:
        """Take what the loss must know of the data; called once, before training.

        :param popularity: (N + 1,) float32, how often each item was a training event, on the
            device of the training.
        """

    @abstractmethod
    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Give the loss of some predictions.

        :param ranker: whose item vectors and biases score the items.
        :param states: (R, D) from the user tower.
        :param target: (R,) int64 the items that came next, 1 to N.
        :param seen: gives the items that rows have seen; the target may be among them.
        :returns: a scalar, a mean over rows; 0 where R is 0.
        """


def at_least_one(negatives: int) -> int:
    """Give back a number of negatives.

    :raises ValueError: where it is below 1.
    """
    if negatives < 1:
        raise ValueError(
            f"A loss cannot draw {negatives} negatives: give 1 or more, or take SoftmaxLoss, which "
            "draws none."
        )
    return negatives


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


ELEMENTS = 1 << 26
"""How many places of rows times items are looked at once: 64 MiB."""


@dataclass(frozen=True)
class Scores:
    """Scores of rows' own items and of K items drawn for each row.

    :param positive: (R,).
    :param negative: (R, K).
    :param counts: (R, K) bool, False where the drawn item is the row's own or was seen by it.
    """

    positive: Tensor
    negative: Tensor
    counts: Tensor

    def mean_of_negatives(self, losses: Tensor) -> Tensor:
        """Mean of (R, K) losses over each row's negatives that count, (R,); 0 without any."""
        return (losses * self.counts).sum(dim=1) / self.counts.sum(dim=1).clamp_min(1)


def drawn_scores(
    ranker: Ranker, states: Tensor, target: Tensor, seen: Seen, negatives: int
) -> Scores:
    """Draw items for each row, all alike, and score them beside the row's own.

    Memory: R × K vectors of length D, twice.

    :param states: (R, D).
    :param target: (R,) int64.
    :param negatives: draws K for each row, with replacement.
    """
    shape = (len(target), negatives)
    drawn = torch.randint(1, ranker.num_items + 1, shape, device=target.device)
    # Text is projected once for an item, however often it was drawn.
    items, place = torch.cat([target[:, None], drawn], dim=1).unique(return_inverse=True)
    vectors, bias = ranker.items(items), ranker.item_bias()
    scores = (functional.embedding(place, vectors) @ states[:, :, None]).squeeze(-1)
    if bias is not None:
        scores = scores + bias[items][place]
    counts = ~_taken(ranker.num_items, target, seen, drawn)
    return Scores(scores[:, 0], scores[:, 1:], counts)


def _taken(num_items: int, target: Tensor, seen: Seen, drawn: Tensor) -> Tensor:
    """Whether drawn items are a row's own or were seen by it: (R, K) bool."""
    found = torch.empty_like(drawn, dtype=torch.bool)
    step = max(1, ELEMENTS // (num_items + 1))
    for start in range(0, len(target), step):
        rows = slice(start, start + step)
        own = target[rows, None]
        table = torch.zeros(len(own), num_items + 1, dtype=torch.bool, device=own.device)
        table.scatter_(1, torch.cat([own, seen(rows)], dim=1), True)
        found[rows] = table.gather(1, drawn[rows])
    return found


class SoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against all others, in blocks; the default.

    No more than a block of logits exists at a time, so that memory grows with the catalog's vectors
    and not with rows times items. :func:`torch.nn.functional.linear_cross_entropy` is not used
    where torch has it: it cannot leave out the items that a row has seen.
    """

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Mean cross-entropy; see :meth:`~lightrec.ranking.losses.RankingLoss.forward`."""
        given = ranker.item_bias()
        bias = states.new_zeros(ranker.num_items + 1) if given is None else given
        weights = ranker.item_vectors()
        positive = (states * weights[target]).sum(dim=1) + bias[target]

        def blocked(rows: slice) -> Tensor:
            own = target[rows, None]
            return torch.cat([own, torch.zeros_like(own), seen(rows)], dim=1)

        return softmax_loss(states, weights, bias, blocked, positive)


class SampledSoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against drawn ones, corrected for how likely they were drawn.

    The draws are shared by a batch. With the correction (logQ, Bengio and Senécal 2008) the sum of
    exponentials over the drawn items estimates that over all items without bias. The next item is
    there for certain and is not corrected (Khrylchenko et al. 2025).

    :param negatives: draws for a batch, with replacement.
    :param power: 0 draws all items alike, 1 by popularity.
    :raises ValueError: where there are no negatives.
    """

    proposal: Tensor

    def __init__(self, negatives: int = 4096, power: float = 0.75) -> None:
        super().__init__()
        self.negatives, self.power = at_least_one(negatives), power
        self.register_buffer("proposal", None, persistent=False)

    def prepare(self, popularity: Tensor) -> None:
        """Make the probabilities of drawing from popularity (N + 1,)."""
        self.proposal = as_float32(proposal(popularity, self.power), popularity.device)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Corrected cross-entropy; see :meth:`.RankingLoss.forward`."""
        items, correction = draw_negatives(self.proposal, self.negatives)
        return candidate_softmax(ranker, states, target, seen, items, correction)


class InBatchLoss(RankingLoss):
    """Cross-entropy of the next item against the next items of a batch's other rows (InfoNCE).

    Costs no item vectors beyond the batch's own. Other rows' items equal to a row's own, or seen by
    it, are false negatives and do not count for it. Popular items come up more often in a batch;
    less the logarithm of how often they are expected among the R - 1 other rows, the rest estimates
    the softmax over the whole catalog (logQ correction, Yi et al. 2019). The next item itself is
    there for certain and is not corrected (Khrylchenko et al. 2025).

    :param temperature: by which scores are divided; the order of items in ranking does not depend
        on it.
    :raises ValueError: where the temperature is not above 0.
    """

    popularity: Tensor

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(
                f"A temperature of {temperature} cannot divide scores: give one above 0."
            )
        self.temperature = temperature
        self.register_buffer("popularity", None, persistent=False)

    def prepare(self, popularity: Tensor) -> None:
        """Make from popularity (N + 1,) how likely a row's next item is each of the items."""
        self.popularity = as_float32(proposal(popularity, power=1.0), popularity.device)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Seen) -> Tensor:
        """Corrected cross-entropy; see :meth:`.RankingLoss.forward`."""
        items, counts = target.unique(return_counts=True)
        others = max(len(target) - 1, 1)
        # An item that c rows chose is c equal negatives; a row that chose it leaves all c out.
        correction = (counts / (others * self.popularity[items])).log()
        return candidate_softmax(ranker, states, target, seen, items, correction, self.temperature)


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
        """Mean pairwise loss; see :meth:`~lightrec.ranking.losses.RankingLoss.forward`."""
        scores = drawn_scores(ranker, states, target, seen, self.negatives)
        losses = functional.softplus(scores.negative - scores.positive[:, None])
        return scores.mean_of_negatives(losses).sum() / max(len(target), 1)


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
