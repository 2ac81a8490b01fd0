"""Two states whose numbers are written out, for updates worked out by hand."""

import math

import torch
from tensordict import TensorDict
from torch import nn

from lightrec.policies.base import ScoredPolicy

NONE = -torch.inf
DISCOUNT = 0.5


class Rows(ScoredPolicy):
    """A policy, or a network of action values: a row of numbers for each state."""

    def __init__(self, rows):
        super().__init__(3)
        rows = torch.as_tensor(rows, dtype=torch.float64)
        self.rows = nn.Parameter(torch.where(rows.isinf(), 0.0, rows))
        self.register_buffer("out", rows.isinf())

    def logits(self, state):
        return self.values(state)

    def values(self, state):
        place = state["state"].squeeze(-1)
        return self.rows[place].masked_fill(self.out[place], NONE)


class Level(Rows):
    """A critic, which sees the state's number as its features."""

    def forward(self, features):
        return self.rows[features.squeeze(-1)]


class Slates(nn.Module):
    """A policy of slates of two."""

    slate_size = 2

    def __init__(self, items, nothing, choices):
        super().__init__()
        self.items, self.nothing, self.choices = items, nothing, choices

    def action_values(self, state):
        return self.items.values(state), self.nothing.values(state)


def batch(action, ended=1, **more):
    """Go from state 0 to 1 and from 1 to 0; one session ended there, the other was cut."""
    terminated = torch.tensor([[ended == 0], [ended == 1]])
    state = torch.tensor([[0], [1]])
    return TensorDict(
        {
            "state": state,
            "features": state,
            "action": torch.tensor(action),
            "next": {
                "state": state.flip(0),
                "features": state.flip(0),
                "reward": torch.tensor([[1.0], [2.0]], dtype=torch.float64),
                "terminated": terminated,
                "done": torch.tensor([[True], [True]]),
            },
            **{key: torch.tensor(value) for key, value in more.items()},
        },
        [2],
    )


def softmax(row):
    """The law by column, in plain Python; 0 for columns that may not be shown."""
    weights = [math.exp(value) for value in row]
    return [weight / sum(weights) for weight in weights]


def gradients(losses, key, rows):
    """Differentiate one loss by a network's rows, as nested lists."""
    (gradient,) = torch.autograd.grad(losses[key], rows.rows, retain_graph=True)
    return gradient.tolist()
