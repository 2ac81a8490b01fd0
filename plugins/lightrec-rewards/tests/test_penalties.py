"""Penalties with hand values."""

import math

import pytest
import torch
from lightrec_rewards.penalties import FatiguePenalty, RepetitionPenalty, UncertaintyPenalty
from tensordict import TensorDict

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.testing import tiny
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel


def bound(reward, users=None, store=None):
    reward.bind(RewardContext(users, store))
    return reward


def rows(history, clicked):
    history, clicked = torch.tensor(history), torch.tensor(clicked).unsqueeze(1)
    data = {Key.HISTORY: history, Key.ACTION: clicked.clamp_min(1), Key.TAKEN: clicked > 0}
    return TensorDict(data, batch_size=[len(history)])


def test_repetition_counts_what_was_accepted_before():
    steps = rows([[0, 2, 1, 2], [0, 2, 1, 2], [0, 2, 1, 2], [0, 2, 1, 2]], [2, 1, 3, 0])
    assert RepetitionPenalty()(steps).flatten().tolist() == [-2, -1, 0, 0]
    assert RepetitionPenalty(window=1)(steps).flatten().tolist() == [-1, 0, 0, 0]
    with pytest.raises(RecipeError, match="window is 0"):
        RepetitionPenalty(window=0)


@pytest.fixture(scope="module")
def users():
    # Items 1 and 2 point one way, 3 and 4 the other; item 5 means nothing in a history.
    model = PooledChoice(4, 2, 3)
    model.vectors[1:] = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.3]])
    return UserModel([model]).eval()


def test_fatigue_is_the_part_of_the_window_near_the_item(users):
    steps = rows([[0, 1, 2, 3], [5, 5, 2, 3], [0, 0, 0, 1], [1, 1, 1, 1]], [1, 4, 3, 0])
    found = bound(FatiguePenalty(window=4), users)(steps).flatten().tolist()
    assert found == [-0.5, -0.25, 0, 0]
    assert bound(FatiguePenalty(window=2), users)(steps).flatten().tolist() == [-0.5, -0.5, 0, 0]
    with pytest.raises(RecipeError, match="a cosine lies between"):
        FatiguePenalty(near=2.0)
    with pytest.raises(NotApplicable, match="tables of a log, and there is none"):
        bound(FatiguePenalty(category="kind"), users)


def test_fatigue_goes_by_categories_where_there_are_some(tmp_path):
    store = tiny.tiny_store(tmp_path / "data")
    kind = store.catalog["kind"].to_list()
    first = kind.index("tea") + 1
    tea = [i + 1 for i, k in enumerate(kind) if k == "tea"]
    rope = kind.index("rope") + 1
    steps = rows([[tea[1], tea[2], rope, 0], [0, 0, 0, rope]], [first, first])
    for settings in ({"kind": "category"}, {"category": "kind"}):
        penalty = bound(FatiguePenalty(window=4, **settings), store=store)
        assert penalty(steps).flatten().tolist() == [-0.5, 0]
    with pytest.raises(NotApplicable, match="no attribute 'colour'"):
        bound(FatiguePenalty(category="colour"), store=store)


def test_uncertainty_is_the_ensembles_unless_the_simulator_tells(users):
    with pytest.raises(NotApplicable, match="A single user model"):
        bound(UncertaintyPenalty(), users)
    ensemble = tiny.tiny_user_model(members=2)
    data = {
        Key.HISTORY: torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 4, 5]]),
        Key.ACTION: torch.tensor([[4], [6]]),
    }
    steps = TensorDict(data, [2])
    reward = bound(UncertaintyPenalty(), ensemble)
    expected = ensemble.predict(steps[Key.HISTORY], steps[Key.ACTION])[1]
    assert torch.allclose(reward(steps), -expected.unsqueeze(1))
    assert (-reward(steps) <= math.log(2)).all()
    steps["next"] = TensorDict({Key.UNCERTAINTY: torch.tensor([[0.1], [0.2]])}, batch_size=[2])
    assert torch.equal(reward(steps), torch.tensor([[-0.1], [-0.2]]))
