"""Sums of rewards, by hand."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward, WeightedSum
from lightrec.rewards.base import Reward


class ItemReward(Reward):
    """The number of the item accepted."""

    def forward(self, transition):
        return (transition[Key.ACTION] * self.taken(transition)).sum(1, keepdim=True).float()


def rows(history, clicked):
    history, clicked = torch.tensor(history), torch.tensor(clicked).unsqueeze(1)
    data = {Key.HISTORY: history, Key.ACTION: clicked.clamp_min(1), Key.TAKEN: clicked > 0}
    return TensorDict(data, batch_size=[len(history)])


STEPS = rows([[0, 2, 2], [0, 0, 1], [3, 1, 2]], [2, 3, 0])


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
