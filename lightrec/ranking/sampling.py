"""Negatives drawn for a sampled softmax, with the correction that keeps it honest."""

import torch
from torch import Tensor

from lightrec.nn.precision import as_float32, as_float64


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
