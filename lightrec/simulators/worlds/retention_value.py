"""The value of satisfaction in the world `retention`, by dynamic programming.

Days to come are computed backwards from the horizon; within a day slates follow each other until
the session ends, so that its values are a fixed point. Offers are a sample of what users meet: with
one sort of user and everything offered the sample is the law, and the values are exact.
"""

import torch
from torch import Tensor


def slate_scores(weight: Tensor, gain: Tensor, size: int) -> Tensor:
    """Score items so that the highest ``size`` make the slate of highest expected gain.

    One item of a slate, or none, is picked with weight ``weight``, none with 1. The best mean gain
    per slate λ is where the highest ``size`` of weight · (gain - λ) sum to λ (Dinkelbach 1967, "On
    nonlinear fractional programming"); those are the scores.

    :param weight: (..., C), 0 for what may not be shown.
    :param gain: (..., C), broadcast against ``weight``.
    :returns: (..., C).
    """
    rate = torch.zeros_like(weight[..., :1])
    for _ in range(5):
        rate = best_gain(weight, gain, size, rate)
    return (weight * (gain - rate)).masked_fill(weight == 0, -torch.inf)


def best_gain(weight: Tensor, gain: Tensor, size: int, rate: Tensor) -> Tensor:
    """Take one step of Dinkelbach's towards the highest mean gain λ: (..., 1)."""
    weight, gain = torch.broadcast_tensors(weight, gain)
    best = (weight * (gain - rate)).topk(size, -1).indices
    shown = weight.gather(-1, best)
    return (shown * gain.gather(-1, best)).sum(-1, True) / (1 + shown.sum(-1, True))


def after_step(
    weight: Tensor,
    quality: Tensor,
    size: int,
    *,
    end: Tensor,
    gone: Tensor,
    back: Tensor,
    days: int,
) -> Tensor:
    """Give the expected days to come after a slate, under the best slates from then on.

    :param weight: (M, C) float64 weights of M offers.
    :param quality: (M, C): a pick raises satisfaction with probability (1 + quality) / 2, and else
        lowers it, by one level.
    :param size: places K of a slate.
    :param end: (L,) probability by level that the session ends after a slate.
    :param gone: (L,) probability that the end of a session is the end of all.
    :param back: (L,) probability that a day of absence is the last.
    :param days: the horizon D.
    :returns: (D, L) float64; the session may or may not have ended with that slate.
    """
    levels = len(end)
    up = torch.arange(1, levels + 1, device=end.device).clamp_max(levels - 1)
    down = torch.arange(-1, levels - 1, device=end.device).clamp_min(0)
    worth = end.new_zeros(days, levels)  # after a slate
    value = end.new_zeros(days, levels)  # before one
    rate = end.new_zeros(levels, len(weight), 1)
    for day in reversed(range(days)):
        absent = torch.arange(days - day - 1, device=end.device).unsqueeze(1)
        chance = (1 - gone) * back * (1 - back) ** absent
        later = (chance * (1 + value[day + 1 :])).sum(0)
        now = value[min(day + 1, days - 1)]
        change = 1.0
        while change > 1e-7:  # each round leaves 1 - end of it, or less
            after = end * later + (1 - end) * now
            middle, slope = (after[up] + after[down]) / 2 - after, (after[up] - after[down]) / 2
            gain = middle[:, None, None] + slope[:, None, None] * quality
            rate = best_gain(weight, gain, size, rate)
            before, now = now, after + rate.mean((1, 2))
            change = float((now - before).abs().max())
        value[day], worth[day] = now, end * later + (1 - end) * now
    return worth
