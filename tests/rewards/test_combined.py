"""Sums of rewards, by hand, and means over what may be chosen."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward, WeightedSum
from lightrec.rewards.base import Reward
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.testing import tiny


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


def test_a_simulator_that_pays_means_says_how_likely_each_outcome_was():
    seen = []

    class Looks(EngagementReward):
        def forward(self, transition):
            seen.append(transition[Key.WEIGHT].view(8, 2))
            return super().forward(transition)

    model = tiny.tiny_user_model()
    settings = {"leave_rate": 0.1, "max_steps": 3, "repeats": True, "expected": True}
    simulator = UserModelSimulator(model, tiny.tiny_starts(), 8, reward=Looks(), **settings)
    paid = simulator.step(simulator.reset().set("action", torch.ones(8, 1).long()))["next"]
    torch.testing.assert_close(seen[0].sum(1), torch.ones(8))
    torch.testing.assert_close(seen[0][:, 0], paid["reward"].squeeze(1))
