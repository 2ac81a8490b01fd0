"""Features of a session that networks see, and small networks."""

from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lightrec.keys import Key

State: TypeAlias = MutableMapping[str, Tensor]
"""Sessions by :class:`~lightrec.keys.Key`, a row each: a simulator's TensorDict, or any mapping."""


def with_progress(features: Tensor, state: State, horizon: int) -> Tensor:
    """Put time and success so far next to a session's features.

    :param features: ``(..., S)``.
    :param state: has ``Key.STEP`` and ``Key.ACCEPTED_TOTAL``, ``(..., 1)`` each.
    :param horizon: steps after which the step counts as 1.
    :returns: ``(..., S + 2)``, what is added being of order 1.
    """
    step = state[Key.STEP]
    # As if one of two earlier slates had been accepted: the first steps' share stays moderate.
    share = (state[Key.ACCEPTED_TOTAL] + 1) / (step + 2) - 0.5
    return torch.cat([features, step.float() / horizon, share], -1)


def perceptron(sizes: Sequence[int], activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers with a nonlinearity between them.

    :param sizes: input, hidden widths, output.
    """
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(sizes):
        layers += [nn.Linear(narrow, wide), activation()]
    return nn.Sequential(*layers[:-1])


def network_from_zero(sizes: Sequence[int]) -> nn.Sequential:
    """Layers with GELU between them, the last of which begins at zero."""
    network = perceptron(sizes, activation=nn.GELU)
    for parameter in network[-1].parameters():
        nn.init.zeros_(parameter)
    return network
