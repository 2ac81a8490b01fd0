"""Whether people stay and return, by hand."""

import math

import pytest
import torch
from lightrec_rewards.staying import ReturnReward, StayReward, after_step
from tensordict import TensorDict

from lightrec.errors import NotApplicable
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import LeavingModel, ReturnModel
from lightrec.users.user_model import UserModel


def bound(reward, users):
    reward.bind(RewardContext(users))
    return reward


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


def test_without_a_fitted_law_people_stay_at_the_assumed_rate(model, transition):
    users = UserModel([model])
    assert bound(StayReward(), users)(transition).tolist() == [[0.75]] * 3
    with pytest.raises(NotApplicable, match="no model of returns"):
        bound(ReturnReward(), users)


def fit(model):
    """Leaving with log-odds step - 2 · share accepted; returns after e^(11 + share) seconds."""
    leaving, returns = LeavingModel(model.state_size), ReturnModel(model.state_size)
    leaving.levels.weight.data[:, 0] = torch.arange(65.0)
    leaving.linear.weight.data[0, -3] = -2.0
    returns.linear.weight.data[0, -1] = 1.0
    returns.linear.bias.data[0] = 11.0
    return UserModel([model], leaving=leaving, returning=returns)


def test_staying_and_returning_by_hand(model, transition):
    users = fit(model)
    # After the step: 1 of 1, 1 of 2 and 3 of 4 slates were accepted.
    shares = [1.0, 0.5, 0.75]
    leave = [1 / (1 + math.exp(-(n - 2 * s))) for n, s in zip([1, 2, 4], shares, strict=True)]
    found = bound(StayReward(), users)(transition).flatten().tolist()
    assert found == pytest.approx([1 - p for p in leave], abs=1e-6)
    z = [math.log(2 * 86_400) - 11 - share for share in shares]
    back = [(1 + math.erf(x / math.sqrt(2))) / 2 for x in z]
    expected = [p * b for p, b in zip(leave, back, strict=True)]
    found = bound(ReturnReward(days=2.0), users)(transition).flatten().tolist()
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_history_after_the_step_is_the_models_own(model, transition):
    users = UserModel([model])
    after = users.state(after_step(users, transition)[0])
    history, clicked = transition[Key.HISTORY], torch.tensor([[5], [7], [2]])
    assert model.records_nothing
    torch.testing.assert_close(after, model.after(history, clicked).squeeze(1))
    model.nothing_recorded.fill_(False)
    after = users.state(after_step(users, transition)[0])
    torch.testing.assert_close(after[1], model.state(history)[1])
