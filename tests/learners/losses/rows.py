"""Two states whose numbers are written out, for updates worked out by hand."""

import math

import torch
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch import nn

from lightrec.nn.plackett_luce import PlackettLuce

NONE = -torch.inf
DISCOUNT = 0.5


class Rows(nn.Module):
    """A row of numbers for each state; minus infinity stays what it is."""

    def __init__(self, rows):
        super().__init__()
        rows = torch.as_tensor(rows, dtype=torch.float64)
        self.rows = nn.Parameter(torch.where(rows.isinf(), 0.0, rows))
        self.register_buffer("out", rows.isinf())

    def forward(self, state):
        state = state.squeeze(-1)
        return self.rows[state].masked_fill(self.out[state], NONE)


def network(key, rows):
    return TensorDictModule(Rows(rows), in_keys=["state"], out_keys=[key])


def batch(action, ended=1, **more):
    """Go from state 0 to 1 and from 1 to 0; one session ended there, the other was cut."""
    terminated = torch.tensor([[ended == 0], [ended == 1]])
    return TensorDict(
        {
            "state": torch.tensor([[0], [1]]),
            "action": torch.tensor(action),
            "next": {
                "state": torch.tensor([[1], [0]]),
                "reward": torch.tensor([[1.0], [2.0]], dtype=torch.float64),
                "terminated": terminated,
                "done": torch.tensor([[True], [True]]),
            },
            **{key: torch.tensor(value) for key, value in more.items()},
        },
        [2],
    )


def softmax(row):
    """Give the law by column, in plain Python; 0 for columns that may not be shown."""
    weights = [math.exp(value) for value in row]
    return [weight / sum(weights) for weight in weights]


def gradients(losses, key, module):
    """Differentiate one loss by a network's rows, as nested lists."""
    (gradient,) = torch.autograd.grad(losses[key], module.module.rows, retain_graph=True)
    return gradient.tolist()


def slate_actor(logits, slate_size, masked=False):
    """Make a probabilistic actor of a module from a state to logits (B, C).

    :param masked: whether states have a ``mask``.
    """
    keys = {"logits": "logits", "mask": "mask"} if masked else {"logits": "logits"}
    return ProbabilisticTensorDictSequential(
        TensorDictModule(logits, in_keys=["state"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(
            in_keys=keys,
            out_keys=["action"],
            distribution_class=PlackettLuce,
            distribution_kwargs={"slate_size": slate_size},
            return_log_prob=True,
        ),
    )
