"""Predicted times until the next session."""

import math

import pytest
import torch
from tensordict import TensorDict

from lightrec.evaluation.sessions import Returns
from lightrec.keys import Key
from lightrec.testing import tiny
from lightrec.users.parts import ReturnModel


def ends_of_sessions():
    """Four sessions of four slates, none accepted."""
    state = {"done": torch.ones(4, 1, dtype=torch.bool), Key.STEP: torch.full((4, 1), 4)}
    state |= {Key.HISTORY: torch.zeros(4, 5, dtype=torch.int64)}
    return TensorDict(state | {Key.ACCEPTED_TOTAL: torch.zeros(4, 1)}, batch_size=[4])


def test_days_are_the_geometric_mean_over_the_ends_of_sessions():
    users = tiny.tiny_user_model()
    returning = ReturnModel(users.choice.state_size)
    # Two days times 4 to the power of the share accepted.
    returning.linear.bias.data[0] = math.log(2 * 24 * 3600)
    returning.linear.weight.data[0, -1] = math.log(4)
    returns = Returns(users.replaced(returning=returning))
    following = ends_of_sessions()
    following["done"][2] = False
    following[Key.ACCEPTED_TOTAL] = torch.tensor([[0.0], [4.0], [1.0], [3.0]])
    # The third goes on; the last ended earlier.
    returns(following, following, torch.tensor([True, True, True, False]))
    assert returns.days() == pytest.approx(math.sqrt(2 * 8), rel=1e-4)
