"""The contract of rewards; a penalty and shaped rewards, by hand."""

import math

import pytest
import torch
from lightrec_rewards.accepted import UncertaintyPenalty
from lightrec_rewards.staying import ContinuationShaping, ShapedReward, StayReward, ending
from lightrec_testing import RewardChecks, parametrize_checks, plugin_checks, tiny
from tensordict import TensorDict

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward, LearnedReward, WeightedSum
from lightrec.rewards.base import RewardContext
from tests.rewards.test_rewards import STEPS, ItemReward, bound


def test_uncertainty_is_the_ensembles_unless_the_simulator_tells():
    with pytest.raises(NotApplicable, match="A single user model"):
        bound(UncertaintyPenalty(), tiny.tiny_user_model())
    ensemble = tiny.tiny_user_model(members=2)
    history, items = torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 4, 5]]), torch.tensor([[4], [6]])
    steps = TensorDict({Key.HISTORY: history, Key.ACTION: items}, [2])
    reward = bound(UncertaintyPenalty(), ensemble)
    expected = ensemble.predict(history, items)[1]
    assert torch.allclose(reward(steps), -expected.unsqueeze(1))
    assert (-reward(steps) <= math.log(2)).all()
    steps["next"] = TensorDict({Key.UNCERTAINTY: torch.tensor([[0.1], [0.2]])}, batch_size=[2])
    assert torch.equal(reward(steps), torch.tensor([[-0.1], [-0.2]]))


class TableShaping(ShapedReward):
    """A potential by table of the last item in the history."""

    def __init__(self, reward, table, discount=1.0):
        super().__init__(reward, discount)
        self.table = table

    def potential(self, history):
        return self.table[history[:, -1:]]


def test_what_is_judged_is_never_shaped():
    plain = ItemReward()
    shaped = TableShaping(plain, torch.tensor([0.0, 1, 2, 3]), 0.9)
    assert plain.judged is plain
    assert shaped.judged is plain
    by_hand = [2 + 0.9 * 2 - 2, 3 + 0.9 * 3 - 1, 0.9 * 2 - 2]
    assert shaped(STEPS).flatten().tolist() == pytest.approx(by_hand)
    total = WeightedSum([shaped, EngagementReward()], [2.0, 1.0])
    expected = WeightedSum([plain, EngagementReward()], [2.0, 1.0])(STEPS)
    assert torch.equal(total.judged(STEPS), expected)
    with pytest.raises(RecipeError, match="discount of shaping is 2"):
        TableShaping(plain, torch.zeros(4), 2)


def test_continuation_shaping_weighs_as_the_learner():
    users = tiny.tiny_user_model(whole=True)
    model = users.choice
    torch.nn.init.normal_(model.value.weight)
    shaped = ContinuationShaping(EngagementReward())
    steps = STEPS.clone()
    before = model.continuation(model.state(steps[Key.HISTORY])).unsqueeze(1)
    idle = model.continuation(model.after_nothing(steps[Key.HISTORY])).unsqueeze(1)
    gain = model.continuation(model.after(steps[Key.HISTORY], torch.tensor([[2], [3], [1]])))
    after = torch.where(steps[Key.TAKEN], gain, idle)
    plain = EngagementReward()(steps)
    WeightedSum([shaped]).bind(RewardContext(users, discount=0.9))
    torch.testing.assert_close(shaped(steps), plain + 0.9 * after - before)
    shaped.bind(RewardContext(users, discount=0.9, fitted_ends=True))
    stay = 1 - ending(users, steps)
    torch.testing.assert_close(shaped(steps), plain + 0.9 * stay * after - before)
    ended = torch.tensor([[True], [False], [False]])
    steps["next"] = TensorDict({"terminated": ended}, batch_size=[3])
    expected = plain + 0.9 * torch.where(ended, 0, after) - before
    torch.testing.assert_close(shaped(steps), expected)


def combined():
    """A sum of a shaped learned reward and another reward."""
    shaped = ContinuationShaping(LearnedReward(), 0.9)
    return WeightedSum([shaped, StayReward()], [1.0, 0.5])


@parametrize_checks(
    plugin_checks("lightrec-rewards"), RewardChecks(combined, part="rewards-within-rewards")
)
def test_contract(check):
    check()
