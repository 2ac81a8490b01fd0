"""Losses of rankers: what training makes small, each a class that a recipe can name."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.nn.part import Part
from lightrec.nn.precision import as_float64, at_least_float32, full_precision
from lightrec.ranking.ranker import Ranker


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
    correction = -inclusion.log().float()
    return items.to(probabilities.device), correction.to(probabilities.device)


LOGITS = 1 << 20
"""Logits that exist at once: 4 MiB in float32, which a processor's cache may hold."""
ROWS = 64
"""Rows looked at together at least, where the catalog is large: reading all weights for
every few rows would take longer than the sums. A block is then as large as weights of width 64."""

Rows = Callable[[slice], Tensor]
"""From some rows to items or columns of each of them, (rows, S) int64, such as those that it has
seen, 0 where there is none. Asked for block by block: all rows' at once may be more than fit."""


class _SoftmaxLoss(torch.autograd.Function):
    """Mean of ``logaddexp(positive, logsumexp(others)) - positive``, with its own gradient.

    The gradient of a row's loss with respect to its logits is known as soon as the row is: it is
    computed in the forward pass, block after block, so that no logits outlive their block and
    nothing is computed twice.
    """

    @staticmethod
    def forward(
        context: Any, states: Tensor, weights: Tensor, bias: Tensor, blocked: Rows, positive: Tensor
    ) -> Tensor:
        rows = states.shape[0]
        step = max(ROWS, LOGITS // weights.shape[0])
        state_gradient = torch.empty_like(states)
        weight_gradient = torch.zeros_like(weights)
        bias_gradient = torch.zeros_like(bias)
        share = torch.empty_like(positive)
        total = states.new_zeros(())
        for start in range(0, rows, step):
            part = slice(start, start + step)
            logits = torch.addmm(bias, states[part], weights.T)
            logits.scatter_(1, blocked(part), -torch.inf)
            # In place, with one exponential a logit; the peak is finite even if all are blocked.
            peak = torch.maximum(logits.amax(dim=1), positive[part])
            mass = logits.sub_(peak[:, None]).exp_().sum(dim=1)
            target_mass = (positive[part] - peak).exp()
            total += ((mass + target_mass).log() + peak - positive[part]).sum()
            logits.div_((mass + target_mass)[:, None])
            share[part] = mass / (mass + target_mass)
            torch.mm(logits, weights, out=state_gradient[part])
            weight_gradient.addmm_(logits.T, states[part])
            bias_gradient += logits.sum(dim=0)
        context.save_for_backward(state_gradient, weight_gradient, bias_gradient, share)
        context.rows = rows
        return total / max(rows, 1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        state, weight, bias, share = context.saved_tensors
        scale = gradients[0] / max(context.rows, 1)
        return state * scale, weight * scale, bias * scale, None, -share * scale


def softmax_loss(
    states: Tensor, weights: Tensor, bias: Tensor, blocked: Rows, positive: Tensor
) -> Tensor:
    """Mean cross-entropy of a positive item against all others, some of them left out.

    :param states: (R, D), one row for each prediction.
    :param weights: (M, D), the others.
    :param bias: (M,), added to the others' logits.
    :param blocked: gives the (rows, S) columns among the M that take no part in a row; the positive
        item's own where it has one, as it is counted by ``positive``.
    :param positive: (R,) the positive items' logits.
    :returns: a scalar; 0 where R is 0. It is computed in float32 or better, in mixed precision too:
        sums over a large catalog need the bits.
    """
    # Autocast does not reach the gradient, which is computed by hand in the forward pass.
    with full_precision(states.device):
        states, weights, bias, positive = at_least_float32(states, weights, bias, positive)
        return _SoftmaxLoss.apply(states, weights, bias, blocked, positive)


class RankingLoss(Part, ABC):
    """Distance of a ranker from ranking the next item first.

    A row is one prediction: a state of the user tower and the item that came next. Items that a row
    has seen are nobody's negatives; a row without negatives costs nothing but its own item's part.

    Subclass it, and a recipe can name the class: ``loss: {class_path: my_package.MyLoss}``. The
    constructor's arguments are plain Python, each kept as an attribute of its own name, because
    checkpoints hold :attr:`~lightrec.nn.part.Part.description`.
    """

    samples: ClassVar[bool] = False
    """Whether it asks the ranker for the vectors of some items alone."""

    def prepare(self, popularity: Tensor) -> None:
        """Take what the loss must know of the data; called once, before training.

        :param popularity: (N + 1,) float32, how often each item was a training event, on the
            device of the training.
        """

    @abstractmethod
    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Rows) -> Tensor:
        """Loss of some predictions.

        :param ranker: whose item vectors and biases score the items.
        :param states: (R, D) from the user tower.
        :param target: (R,) int64 the items that came next, 1 to N.
        :param seen: gives the items that rows have seen; the target may be among them.
        :returns: a scalar, a mean over rows; 0 where R is 0.
        """


def _with_own(target: Tensor, seen: Rows) -> Rows:
    """Items that are no negatives of a row: its own item, padding, and what it has seen."""
    return lambda rows: torch.cat([functional.pad(target[rows, None], (0, 1)), seen(rows)], dim=1)


class SoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against all others, in blocks; the default.

    No more than a block of logits exists at a time, so that memory grows with the catalog's vectors
    and not with rows times items. :func:`torch.nn.functional.linear_cross_entropy` is not used
    where torch has it: it cannot leave out the items that a row has seen.
    """

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Rows) -> Tensor:
        """Mean cross-entropy; see :meth:`.RankingLoss.forward`."""
        weights, bias = ranker.item_vectors(), ranker.bias
        positive = (states * weights[target]).sum(dim=1) + bias[target]
        return softmax_loss(states, weights, bias, _with_own(target, seen), positive)


class SampledSoftmaxLoss(RankingLoss):
    """Cross-entropy of the next item against drawn ones, corrected for how likely they were drawn.

    The draws are shared by a batch. With the correction (logQ, Bengio and Senécal 2008) the sum of
    exponentials over the drawn items estimates that over all items without bias. The next item is
    there for certain and is not corrected (Khrylchenko et al. 2025).

    :param negatives: draws for a batch, with replacement.
    :param power: 0 draws all items alike, 1 by popularity.
    :raises ValueError: where there are no draws.
    """

    samples = True
    proposal: Tensor

    def __init__(self, negatives: int = 4096, power: float = 0.75) -> None:
        super().__init__()
        if negatives < 1:
            raise ValueError(
                f"A loss cannot draw {negatives} negatives: give 1 or more, or take SoftmaxLoss, "
                "which draws none."
            )
        self.negatives, self.power = negatives, power
        self.register_buffer("proposal", None, persistent=False)

    def prepare(self, popularity: Tensor) -> None:
        """Make the probabilities of drawing from popularity (N + 1,)."""
        self.proposal = proposal(popularity, self.power).float().to(popularity.device)

    def forward(self, ranker: Ranker, states: Tensor, target: Tensor, seen: Rows) -> Tensor:
        """Corrected cross-entropy; see :meth:`.RankingLoss.forward`."""
        items, correction = draw_negatives(self.proposal, self.negatives)
        bias, blocked = ranker.bias, _with_own(target, seen)
        # Column 0 stays the padding's, so that whatever was not drawn is blocked there.
        items, correction = functional.pad(items, (1, 0)), functional.pad(correction, (1, 0))
        place = torch.zeros(ranker.num_items + 1, dtype=torch.int64, device=items.device)
        place[items] = torch.arange(len(items), device=items.device)
        weights, own = ranker.items(torch.cat([items, target])).split([len(items), len(target)])
        positive = (states * own).sum(dim=1) + bias[target]
        return softmax_loss(
            states, weights, bias[items] + correction, lambda rows: place[blocked(rows)], positive
        )
