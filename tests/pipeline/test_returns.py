"""What is foretold at the end of a session, and what was accepted in it is worth."""

import math

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.nn.user_parts import VALUE, ReturnModel
from lightrec.pipeline.sessions import Returns, mean_values
from lightrec.testing import tiny


def test_days_are_the_geometric_mean_over_the_ends_of_sessions():
    model = tiny.tiny_user_model()
    returning = ReturnModel(model.state_size)
    # Two days times 4 to the power of the share accepted.
    returning.linear.bias.data[0] = math.log(2 * 24 * 3600)
    returning.linear.weight.data[0, -1] = math.log(4)
    returns = Returns(model, returning).round(0)
    following = TensorDict(
        {
            "done": torch.tensor([[True], [True], [False], [True]]),
            Key.HISTORY: torch.zeros(4, 5, dtype=torch.int64),
            Key.STEP: torch.full((4, 1), 4),
            Key.ACCEPTED_TOTAL: torch.tensor([[0.0], [4.0], [1.0], [3.0]]),
        },
        batch_size=[4],
    )
    # The third goes on, and the last ended earlier.
    returns(following, following, torch.tensor([True, True, True, False]))
    assert returns.days() == pytest.approx(math.sqrt(2 * 8), rel=1e-4)


def test_values_of_a_folder(tmp_path):
    model = tiny.tiny_user_model()
    model.save_pretrained(tmp_path)
    assert mean_values(tmp_path) is None
    tiny.tiny_values(model).save_pretrained(tmp_path / VALUE)
    values = mean_values(tmp_path)
    found = values(torch.zeros(3, 5, dtype=torch.int64), torch.tensor([[1], [2], [1]]))
    assert found.shape == (3, 1)
    assert found[0] == found[2] != found[1]
