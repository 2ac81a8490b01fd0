"""Transitions over several steps, made of sessions that were played."""

from typing import NamedTuple

import torch
from torch import Tensor


class Stretch(NamedTuple):
    """From each step of B sessions of T steps, up to n steps further."""

    reward: Tensor
    """(B, T, 1): discounted sum of the rewards on the way."""
    steps: Tensor
    """(B, T, 1) int64: how many steps that were, fewer where a session or the record is over."""
    last: Tensor
    """(B, T) int64: the last step, after which comes the next state."""


def stretches(reward: Tensor, done: Tensor, length: int, discount: float) -> Stretch:
    """Look ahead as far as a session goes on, and no further than ``length`` steps.

    No step of what follows a session's end counts, whether it ended or was cut.

    :param reward: (B, T, 1).
    :param done: (B, T, 1) bool: the session was over after the step.
    :param length: n, 1 or more.
    :param discount: γ.
    """
    rows, time = done.shape[:2]
    start = torch.arange(time, device=done.device).expand(rows, -1)
    going = torch.ones_like(done[..., 0])
    total, last = torch.zeros_like(reward[..., 0]), start
    for ahead in range(length):
        step = (start + ahead).clamp_max(time - 1)
        going = going & (start + ahead < time)
        total = total + discount**ahead * reward[..., 0].gather(1, step) * going
        last = torch.where(going, step, last)
        going = going & ~done[..., 0].gather(1, step)
    steps = last - start + 1
    return Stretch(total.unsqueeze(-1), steps.unsqueeze(-1), last)


def shown_on_the_way(columns: Tensor, stretch: Stretch, length: int) -> Tensor:
    """Give all columns shown from each step to the last one of its stretch.

    :param columns: (B, T, K) int64, -1 for an empty place.
    :param length: n.
    :returns: (B, T, n · K) int64, -1 where the stretch is shorter.
    """
    rows, time, places = columns.shape
    start = torch.arange(time, device=columns.device).expand(rows, -1)
    found = []
    for ahead in range(length):
        step = (start + ahead).clamp_max(time - 1)
        then = columns.gather(1, step.unsqueeze(-1).expand(-1, -1, places))
        found.append(then.masked_fill((start + ahead > stretch.last).unsqueeze(-1), -1))
    return torch.cat(found, -1)
