"""Soft Q imitation learning (Reddy, Dragan and Levine 2020): demonstrations as rewards of 1.

Whatever the expert did has reward 1, whatever the learner did 0; soft Q-learning does the rest. No
reward is learned, and what Q says depends on the horizon: constant rewards of one sign, so sessions
must have one length, or absorbing states.
"""

import torch
from torch import Tensor


def soft_value(values: Tensor, temperature: float) -> Tensor:
    """Give V(s) = τ log Σ exp(Q(s, a) / τ) over choices.

    :param values: ``(..., C)`` Q, minus infinity for what is not allowed.
    :param temperature: τ.
    :returns: ``(...)``.
    """
    return temperature * torch.logsumexp(values / temperature, -1)


def soft_q_loss(
    values: Tensor,
    action: Tensor,
    reward: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    *,
    discount: float,
    temperature: float,
) -> Tensor:
    """Give the mean squared soft Bellman error: Q(s, a) against r + γ V(s').

    :param values: ``(N, C)`` Q(s, ·) of the network that learns.
    :param action: ``(N, 1)`` int64 columns taken.
    :param reward: ``(N,)``, 1 for the expert's transitions and 0 for the learner's.
    :param next_values: ``(N, C)`` Q(s', ·) of the target network.
    :param terminated: ``(N,)`` bool: nothing comes after. A session that is only cut goes on.
    """
    future = soft_value(next_values.detach(), temperature) * ~terminated
    taken = values.gather(-1, action).squeeze(-1)
    return (taken - reward - discount * future).square().mean()
