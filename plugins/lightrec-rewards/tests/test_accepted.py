"""Accepted items by value, length and probability, and who stays and returns, by hand."""

import math
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from lightrec_rewards.accepted import ConversionReward, LengthReward, ProbabilityLogReward
from lightrec_rewards.staying import ReturnReward, StayReward
from tensordict import TensorDict

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import LeavingModel, ReturnModel
from lightrec.users.user_model import UserModel
from tests.rewards.test_rewards import bound, known_values


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = PooledChoice(6, 2, 3, discount=0.8, leave_rate=0.25)
    model.set_items(torch.randn(7, 2))
    return model.eval()


@pytest.fixture
def transition():
    return TensorDict(
        {
            Key.HISTORY: torch.tensor([[0, 1, 2], [3, 4, 5], [0, 0, 6]]),
            Key.ACTION: torch.tensor([[5, 3], [1, 2], [1, 2]]),
            Key.TAKEN: torch.tensor([[1, 0], [0, 0], [0, 1]]).bool(),
            Key.STEP: torch.tensor([[0], [1], [3]]),
            Key.ACCEPTED_TOTAL: torch.tensor([[0.0], [1.0], [2.0]]),
        },
        batch_size=[3],
    )


@pytest.mark.parametrize(
    ("unit", "completion", "expected"),
    [(1.0, 0.25, [5.5 / 88 + 16.5 / 176, 0, 0.25 + 6 / 176]), (2.0, 1.0, [0.125, 0, 1])],
)
def test_value_by_length_is_a_mean_of_two_shares(model, transition, unit, completion, expected):
    """Values 5.5 of length 22, and 4 of length 2; the longest item has length 44, or all twice."""
    lengths = pl.DataFrame({"length": [44.0, 2.0, None, 0.0, 22.0, 1.0]})
    users = UserModel([model], valuing=known_values(model))
    store = SimpleNamespace(catalog=lengths)
    reward = bound(LengthReward("length", unit, completion), users, store)
    assert reward(transition).flatten().tolist() == pytest.approx(expected)
    with pytest.raises(RecipeError, match="from 0 to 1"):
        LengthReward("length", completion=1.5)


def test_conversion_is_the_normal_laws_tail(model, transition):
    users = UserModel([model], valuing=known_values(model))
    # z = 3 and 0.
    expected = [(1 + math.erf(3 / math.sqrt(2))) / 2, 0.0, 0.5]
    chances = bound(ConversionReward(threshold=4.0), users)(transition)
    assert chances.flatten().tolist() == pytest.approx(expected)


def test_probability_log_reward(model, transition):
    users = UserModel([model])
    reward = bound(ProbabilityLogReward(), users)
    p = users.predict(transition[Key.HISTORY], transition[Key.ACTION])[0].exp()
    expected = [p[0, 0] * p[0, 0].log(), 0, p[2, 1] * p[2, 1].log()]
    assert reward(transition).flatten().tolist() == pytest.approx([float(x) for x in expected])


def test_without_a_fitted_law_people_stay_at_the_assumed_rate(model, transition):
    users = UserModel([model])
    assert bound(StayReward(), users)(transition).tolist() == [[0.75]] * 3
    with pytest.raises(NotApplicable, match="no model of returns"):
        bound(ReturnReward(), users)


def test_staying_and_returning_by_hand(model, transition):
    """Leaving with log-odds step - 2 · share accepted; returns after e^(11 + share) seconds."""
    leaving, returns = LeavingModel(model.state_size), ReturnModel(model.state_size)
    leaving.levels.weight.data[:, 0] = torch.arange(65.0)
    leaving.linear.weight.data[0, -3] = -2.0
    returns.linear.weight.data[0, -1] = 1.0
    returns.linear.bias.data[0] = 11.0
    users = UserModel([model], leaving=leaving, returning=returns)
    # After the step: 1 of 1, 1 of 2 and 3 of 4 slates were accepted.
    shares = [1.0, 0.5, 0.75]
    leave = [1 / (1 + math.exp(-(n - 2 * s))) for n, s in zip([1, 2, 4], shares, strict=True)]
    chances = bound(StayReward(), users)(transition).flatten().tolist()
    assert chances == pytest.approx([1 - p for p in leave], abs=1e-6)
    z = [math.log(2 * 86_400) - 11 - share for share in shares]
    back = [(1 + math.erf(x / math.sqrt(2))) / 2 for x in z]
    expected = [p * b for p, b in zip(leave, back, strict=True)]
    chances = bound(ReturnReward(days=2.0), users)(transition).flatten().tolist()
    assert chances == pytest.approx(expected, abs=1e-6)
