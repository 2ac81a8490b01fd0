"""The softmax loss over a large catalog, in little memory, with items left out row by row."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightrec.nn.precision import at_least_float32, full_precision

ELEMENTS = 1 << 22
"""How many logits exist at once: 16 MiB in float32."""

ROWS = 64
"""At least so many rows are looked at together, where the catalog is large: reading all weights for
every few rows would take longer than the sums. A block is then as large as weights of width 64."""

Blocked = Callable[[slice], Tensor]
"""From some rows to the columns that take no part in each of them, (rows, S) int64."""


class _SoftmaxLoss(torch.autograd.Function):
    """Mean of ``logaddexp(positive, logsumexp(others)) - positive``, with its own gradient.

    The gradient of a row's loss with respect to its logits is known as soon as the row is: it is
    computed in the forward pass, block after block, so that no logits outlive their block and
    nothing is computed twice.
    """

    @staticmethod
    def forward(
        context: Any,
        states: Tensor,
        weights: Tensor,
        bias: Tensor,
        blocked: Blocked,
        positive: Tensor,
    ) -> Tensor:
        rows = states.shape[0]
        step = max(ROWS, ELEMENTS // weights.shape[0])
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
            own = (positive[part] - peak).exp()
            total += ((mass + own).log() + peak - positive[part]).sum()
            logits.div_((mass + own)[:, None])
            share[part] = mass / (mass + own)
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
    states: Tensor, weights: Tensor, bias: Tensor, blocked: Blocked, positive: Tensor
) -> Tensor:
    """Mean cross-entropy of a positive item against all others, some of them left out.

    :param states: (R, D), one row for each prediction.
    :param weights: (M, D), the others.
    :param bias: (M,), added to the others' logits.
    :param blocked: gives the columns among the M that take no part in a row; the positive item
        must be among them where it is one of the M, as it is counted by ``positive``.
    :param positive: (R,) the positive items' logits.
    :returns: a scalar; 0 where R is 0. It is computed in float32 or better, in mixed precision too:
        sums over a large catalog need the bits.
    """
    # Autocast does not reach the gradient, which is computed by hand in the forward pass.
    with full_precision(states.device):
        states, weights, bias, positive = at_least_float32(states, weights, bias, positive)
        return _SoftmaxLoss.apply(states, weights, bias, blocked, positive)
