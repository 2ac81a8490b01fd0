"""A world of a few states whose values are exact, and networks that are tables."""

import numpy as np
import torch
from tensordict import TensorDict
from torch import nn

from lightrec.policies.base import ScoredPolicy

DISCOUNT = 0.75
ALLOWED = torch.tensor(
    [
        [False, True, True, True, True],
        [False, True, False, True, True],
        [False, False, True, True, False],
        [False, False, False, False, False],  # nothing is left to show
    ]
)
STATES, COLUMNS = ALLOWED.shape
OUTCOMES = 2


class World:
    """Each option of each state has two outcomes, equally likely; option 0 is nothing.

    :param nothing: whether nothing may be taken.
    :param barren: whether sessions come into the state in which nothing is left to show.
    """

    def __init__(self, seed=0, nothing=False, barren=True):
        draw = np.random.default_rng(seed)
        shape = (STATES, COLUMNS + 1, OUTCOMES)
        self.reward = draw.normal(size=shape)
        self.following = draw.integers(STATES if barren else STATES - 1, size=shape)
        luck = draw.random(shape)
        self.terminated = luck < 0.25
        self.cut = (luck >= 0.25) & (luck < 0.5)
        self.options = np.concatenate([np.zeros((STATES, 1), bool), ALLOWED.numpy()], 1)
        if nothing:
            self.options[:, 0] = ALLOWED.any(1)

    def batch(self):
        """Every outcome of every option once."""
        state, option = self.options.nonzero()
        state, option = state.repeat(OUTCOMES), option.repeat(OUTCOMES)
        place = state, option, np.arange(len(state)) % OUTCOMES
        terminated = self.terminated[place]
        return TensorDict(
            {
                "state": _column(state),
                "action": _column(option - 1),
                "next": {
                    "state": _column(self.following[place]),
                    "reward": _column(self.reward[place]),
                    "terminated": _column(terminated),
                    "done": _column(terminated | self.cut[place]),
                },
            },
            [len(state)],
        )

    def values(self, worth, cut_goes_on=True):
        """Give the fixed point Q (S, 1 + C) of Q = E [r + γ (1 - ended) worth(Q, s′)].

        :param worth: from Q and a state to a number, for states in which something may be shown.
        :param cut_goes_on: False for the mistake of taking cut sessions for ended ones.
        """
        ended = self.terminated if cut_goes_on else self.terminated | self.cut
        q = np.zeros(self.reward.shape[:2])
        for _ in range(200):
            v = np.array([worth(q, s) if ALLOWED[s].any() else 0.0 for s in range(STATES)])
            q = (self.reward + DISCOUNT * ~ended * v[self.following]).mean(-1)
        return q


def _column(array):
    return torch.as_tensor(np.ascontiguousarray(array)).unsqueeze(-1)


class Table(ScoredPolicy):
    """A policy, or a network of action values: numbers by state and column.

    :param seed: of the numbers; zeros by default.
    :param barren: what stands where nothing may be shown: minus infinity in logits, 0 in
        values.
    """

    def __init__(self, seed=None, barren=-torch.inf):
        super().__init__(COLUMNS - 1)
        self.table = nn.Parameter(numbers(seed, (STATES, COLUMNS)))
        self.barren = barren

    def logits(self, state):
        return self.values(state)

    def values(self, state):
        return self.forward(state["state"])

    def forward(self, state):
        state = state.squeeze(-1)
        allowed = ALLOWED[state]
        values = self.table[state].masked_fill(~allowed, -torch.inf)
        return torch.where(allowed.any(-1, keepdim=True), values, self.barren)


class Number(nn.Module):
    """Numbers by state, at first 0."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(numbers(None, (STATES,)))

    def values(self, state):
        return self.table[state["state"]]


def numbers(seed, shape):
    if seed is None:
        return torch.zeros(shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def iterate(loss, batch, rounds, rates, follow_up):
    """Descend: value tables step onto the mean of their two targets.

    :param rates: learning rate by the beginning of a parameter's name, for losses summed over the
        batch; others stay as they are.
    """
    groups = [
        {
            "params": [p for n, p in loss.named_parameters() if n.startswith(name)],
            "lr": rate * len(batch),
        }
        for name, rate in rates.items()
    ]
    assert all(group["params"] for group in groups)
    optimizer = torch.optim.SGD(groups)
    for _ in range(rounds):
        losses = loss(batch.clone(False))
        optimizer.zero_grad()
        sum(value for key, value in losses.items() if key.startswith("loss")).backward()
        optimizer.step()
        follow_up()
    return losses


def learned(table):
    """Give a table's numbers where something may be shown, and 0 elsewhere."""
    return torch.where(ALLOWED, table.table.detach(), 0.0).numpy()
