"""A choice model that is a table, and the exact soft-optimal user of a small world."""

from itertools import combinations

import torch
from torch import nn
from torch.nn.functional import one_hot, pad

from lightrec.users.choice_model import ChoiceModel

N = 4
SETS = torch.tensor(list(combinations(range(1, N + 1), 2)))


class TabularChoice(ChoiceModel):
    """The state is the last choice; utilities come from a table."""

    def __init__(self, table, records_nothing=True):
        super().__init__(
            N,
            1,
            1,
            state_size=N + 1,
            feature_size=1,
            hidden_size=1,
            identity_size=1,
            records_nothing=records_nothing,
            discount=0.0,
            leave_rate=0.0,
        )
        self.table = nn.Parameter(table.clone())

    def state(self, history):
        return one_hot(history[:, -1] - 1, N + 1).to(self.table.dtype)

    def after(self, history, items):
        return one_hot(items - 1, N + 1).to(self.table.dtype)

    def utilities(self, state, items=None, user=None):
        return pad(state @ self.table, (1, 0)).gather(1, items) - self.nothing_shift


def solve(reward, discount, records_nothing=True):
    """Soft value iteration: W (N + 1,) and utilities (N + 1, N), offers being even."""
    value = torch.zeros(N + 1, dtype=torch.float64)
    for _ in range(2000):
        idle = value[N].expand(N + 1) if records_nothing else value
        q = torch.cat([reward + discount * value[:N], (discount * idle).unsqueeze(1)], 1)
        offers = torch.stack([q[:, [*(s - 1).tolist(), N]].logsumexp(1) for s in SETS])
        value = offers.mean(0)
    return value, q[:, :N] - q[:, N:]
