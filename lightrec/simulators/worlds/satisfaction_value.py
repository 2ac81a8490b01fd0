"""Values of the world of long-term satisfaction, exact in a tabular twin.

The twin is a Markov decision process of S states and A actions with a finite horizon, in which a
step offers C actions drawn evenly and independently, one of which is shown.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Twin:
    """A tabular decision process with offers."""

    reward: Tensor
    """(S, A) float64: expected reward of an action."""
    following: Tensor
    """(S, A, S) float64: probabilities of the next state."""
    offer_size: int
    """C."""

    def best(self, steps: int) -> Tensor:
        """Values (steps + 1, S) of the best policy, by steps that are left.

        Of C actions drawn evenly the best is the one of rank j, from below, with probability
        ((j + 1) / A)^C - (j / A)^C.
        """
        law = ranks(self.reward.shape[1], self.offer_size).to(self.reward)
        values = [torch.zeros_like(self.reward[:, 0])]
        for _ in range(steps):
            values.append(self.action_values(values[-1]).sort(1).values @ law)
        return torch.stack(values)

    def fixed(self, law: Tensor, steps: int) -> Tensor:
        """Values (steps + 1, S) where actions are shown by one law whatever the state.

        :param law: (A,) probabilities.
        """
        values = [torch.zeros_like(self.reward[:, 0])]
        for _ in range(steps):
            values.append(self.action_values(values[-1]) @ law.to(self.reward))
        return torch.stack(values)

    def action_values(self, value: Tensor) -> Tensor:
        """(S, A) rewards now and ``value`` (S,) later."""
        return self.reward + self.following @ value


def ranks(actions: int, offer_size: int) -> Tensor:
    """(A,) float64: how probably each rank, from below, is the highest of an offer."""
    bounds = torch.linspace(0, 1, actions + 1, dtype=torch.float64) ** offer_size
    return bounds.diff()


def interpolation(points: Tensor, grid: Tensor) -> Tensor:
    """Weights (..., S) of the even ``grid`` (S,) that put ``points`` between their neighbours.

    They are probabilities: a grid with such steps is a Markov chain whose mean moves as the
    points do. Points outside are put on the edge.
    """
    place = (points - grid[0]) / (grid[1] - grid[0])
    distance = place.clamp(0, len(grid) - 1).unsqueeze(-1) - torch.arange(len(grid)).to(grid)
    return (1 - distance.abs()).clamp_min(0)
