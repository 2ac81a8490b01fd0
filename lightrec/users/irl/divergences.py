"""The concave functions φ by which inverse soft Q-learning weighs the rewards of experts.

To match experts' occupancy in an f-divergence is to maximise over Q the mean over the experts'
steps of φ(r), less the value of where they start, φ(x) = -f*(-x), f* being the convex conjugate of
f (Garg et al. 2021, "IQ-Learn: inverse soft-Q learning for imitation", section 4). A multiple of
t - 1 may be added to f without changing the divergence; it is chosen so that φ(0) = 0, φ'(0) = 1.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

Divergence = Literal["chi2", "forward-kl", "hellinger", "jensen-shannon", "reverse-kl"]


class _Function(NamedTuple):
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    edge: float


_FUNCTIONS: Final[dict[str, _Function]] = {
    # f(t) = (t - 1)²
    "chi2": _Function(lambda x: x - x.square() / 4, lambda x: 1 - x / 2, -torch.inf),
    # f(t) = t - 1 - log t; φ is finite above -1.
    "forward-kl": _Function(torch.log1p, lambda x: 1 / (1 + x), -0.9),
    # f(t) = (√t - 1)²; φ is finite above -1.
    "hellinger": _Function(lambda x: x / (1 + x), lambda x: (1 + x) ** -2, -0.7),
    # f(t) = t log t - (t + 1) log((t + 1) / 2); φ is finite above -log 2.
    "jensen-shannon": _Function(
        lambda x: torch.log(2 - torch.exp(-x)), lambda x: 1 / (2 * torch.exp(x) - 1), -0.6
    ),
    # f(t) = t log t - t + 1; φ is finite everywhere, and grows without mercy.
    "reverse-kl": _Function(lambda x: 1 - torch.exp(-x), lambda x: torch.exp(-x), -3.0),
}


def phi(divergence: Divergence, x: Tensor) -> Tensor:
    """φ of rewards, elementwise.

    Below an edge a little inside of where φ is finite its tangent goes on in its place, so that
    rewards there are drawn back.
    """
    value, slope, edge = _FUNCTIONS[divergence]
    if edge == -torch.inf:
        return value(x)
    end = torch.full_like(x, edge)
    return torch.where(x > edge, value(x.maximum(end)), value(end) + slope(end) * (x - edge))
