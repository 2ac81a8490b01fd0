"""Rewards of accepted items and sums of rewards, by hand."""

import polars as pl
import pytest
import torch
from lightrec_testing import tiny
from tensordict import TensorDict

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import (
    EngagementReward,
    LearnedReward,
    SurplusReward,
    ValueReward,
    WeightedSum,
)
from lightrec.rewards.base import Reward, RewardContext
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import ValueModel
from lightrec.users.user_model import UserModel


def bound(reward, users=None, store=None):
    reward.bind(RewardContext(users, store))
    return reward


def known_values(model):
    """A model of values whose deviation is .5; those of items 5 and 2 are 5.5 and 4."""
    value = ValueModel(model.state_size, 32, 6)
    value.levels.weight.data[:, 0] = torch.arange(7.0)
    value.center.fill_(3.0)
    value.spread.fill_(0.5)
    return value


@pytest.fixture(scope="module")
def users():
    torch.manual_seed(0)
    model = PooledChoice(6, 2, 3, discount=0.8)
    model.set_items(torch.randn(7, 2))
    return UserModel([model]).eval()


@pytest.fixture
def transition():
    data = {
        Key.HISTORY: torch.tensor([[0, 1, 2], [3, 4, 5], [0, 0, 6]]),
        Key.ACTION: torch.tensor([[5, 3], [1, 2], [1, 2]]),
        "next": {Key.TAKEN: torch.tensor([[True, False], [False, False], [False, True]])},
    }
    return TensorDict(data, batch_size=[3])


def test_engagement_counts_what_was_accepted_and_a_learned_reward_is_the_models(transition, users):
    assert EngagementReward()(transition).tolist() == [[1.0], [0.0], [1.0]]
    found = bound(LearnedReward(), users)(transition)
    expected = users.reward(transition[Key.HISTORY], torch.tensor([[5], [1], [2]]))
    assert found.shape == (3, 1)
    assert found[1].item() == 0
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])


def test_users_are_asked_about_the_user_of_a_transition(transition, users):
    class OneLikesAll(UserModel):
        """User 1 likes everything far better than others do."""

        def utilities(self, history, items=None, user=None):
            return super().utilities(history, items) + 3.0 * (user == 1).unsqueeze(1)

    fond = OneLikesAll(users.members).eval()
    alike = transition[[0, 0, 0]].set(Key.USER, torch.tensor([0, 1, 0]))
    found = bound(SurplusReward(), fond)(alike).flatten().tolist()
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    assert found[1] != pytest.approx(found[0], rel=1e-3)


def test_value_reward_is_the_mean_value_of_what_was_accepted(transition, users):
    with pytest.raises(NotApplicable, match="no model of values"):
        bound(ValueReward(), users)
    users = users.replaced(valuing=known_values(users.choice))
    # Three stars, and half of the item's own level.
    assert bound(ValueReward(), users)(transition).tolist() == [[5.5], [0.0], [4.0]]
    assert bound(ValueReward(least=3.0), users)(transition).tolist() == [[2.5], [0.0], [1.0]]


def test_a_reward_reads_attributes_of_users_and_items_once_it_is_bound(tmp_path):
    class Matched(Reward):
        """1 for an item of the kind that a user's number says."""

        def bind(self, context):
            kinds = context.item_attribute("kind")
            codes = torch.tensor([0, *kinds.rank("dense").to_list()])
            self.register_buffer("kinds", codes)
            self.users = context.user_attribute("user").dtype

        def forward(self, transition):
            same = self.kinds[transition[Key.ACTION]] == transition[Key.USER].unsqueeze(1)
            return (same & self.taken(transition)).float().sum(1, keepdim=True)

    store = tiny.tiny_store(tmp_path / "data")
    kind = store.catalog["kind"].to_list()
    lamp, tea = kind.index("lamp") + 1, kind.index("tea") + 1
    matched = Matched()
    WeightedSum([matched]).bind(RewardContext(store=store))
    data = {
        Key.USER: torch.tensor([1, 4, 4]),
        Key.ACTION: torch.tensor([[tea, lamp], [tea, lamp], [tea, lamp]]),
        Key.TAKEN: torch.tensor([[True, True], [True, True], [False, True]]),
    }
    assert matched(TensorDict(data, [3])).tolist() == [[1], [1], [0]]
    assert matched.users == pl.String
    with pytest.raises(NotApplicable, match=r"items have no attribute 'colour'; they have item, "):
        RewardContext(store=store).item_attribute("colour")
    with pytest.raises(NotApplicable, match="goes by a user model, and there is none here"):
        bound(LearnedReward())


class ItemReward(Reward):
    """The number of the item accepted."""

    def forward(self, transition):
        return (transition[Key.ACTION] * self.taken(transition)).sum(1, keepdim=True).float()


CLICKED = torch.tensor([[2], [3], [0]])
STEPS = TensorDict({Key.ACTION: CLICKED.clamp_min(1), Key.TAKEN: CLICKED > 0}, batch_size=[3])
STEPS[Key.HISTORY] = torch.tensor([[0, 2, 2], [0, 0, 1], [3, 1, 2]])


def test_a_weighted_sum_by_hand():
    parts = [ItemReward(), EngagementReward()]
    found = WeightedSum(parts, [0.5, -10])(STEPS)
    assert found.flatten().tolist() == [1 - 10, 1.5 - 10, 0]
    assert WeightedSum(parts)(STEPS).flatten().tolist() == [2 + 1, 3 + 1, 0]
    for wrong in ([], [1.0, 2.0, 3.0]):
        with pytest.raises(RecipeError, match="one weight a part"):
            WeightedSum(parts, wrong)
    with pytest.raises(RecipeError, match="at least one part"):
        WeightedSum([])
