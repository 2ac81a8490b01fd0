"""Shaping: hand values, telescoping along sessions, and an optimal policy that stays."""

import pytest
import torch
from lightrec_rewards.normalised import NormalisedReward
from lightrec_rewards.staying import ContinuationShaping, ShapedReward, ending
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward, WeightedSum
from lightrec.rewards.base import Reward, RewardContext
from lightrec.testing import tiny


class ItemReward(Reward):
    """The number of the item accepted."""

    def forward(self, transition):
        return (transition[Key.ACTION] * self.taken(transition)).sum(1, keepdim=True).float()


class TableShaping(ShapedReward):
    """A potential by table of the last item in the history."""

    def __init__(self, reward, table, discount=1.0):
        super().__init__(reward, discount)
        self.table = table

    def potential(self, history):
        return self.table[history[:, -1:]]


def rows(history, clicked):
    history, clicked = torch.tensor(history), torch.tensor(clicked).unsqueeze(1)
    data = {Key.HISTORY: history, Key.ACTION: clicked.clamp_min(1), Key.TAKEN: clicked > 0}
    return TensorDict(data, batch_size=[len(history)])


STEPS = rows([[0, 2, 2], [0, 0, 1], [3, 1, 2]], [2, 3, 0])


def test_what_is_judged_is_never_shaped():
    plain = ItemReward()
    shaped = TableShaping(plain, torch.tensor([0.0, 1, 2, 3]), 0.9)
    assert plain.judged is plain
    assert shaped.judged is plain
    assert shaped(STEPS).flatten().tolist() == pytest.approx(
        [2 + 0.9 * 2 - 2, 3 + 0.9 * 3 - 1, 0.9 * 2 - 2]
    )
    total = WeightedSum([shaped, EngagementReward()], [2.0, 1.0])
    expected = WeightedSum([plain, EngagementReward()], [2.0, 1.0])(STEPS)
    assert torch.equal(total.judged(STEPS), expected)
    normalised = NormalisedReward(TableShaping(plain, torch.zeros(4))).eval()
    assert torch.equal(normalised.judged(STEPS), plain(STEPS))
    with pytest.raises(RecipeError, match="discount of shaping is 2"):
        TableShaping(plain, torch.zeros(4), 2)


def test_shaping_leaves_the_best_policy_as_it_is():
    # The state is the last item, an action an item that is always accepted, and leads there.
    torch.manual_seed(0)
    items, discount = 5, 0.9
    worth, table = torch.randn(items + 1, items + 1), 3 * torch.randn(items + 1)

    class PairReward(Reward):
        def forward(self, transition):
            return worth[transition[Key.HISTORY][:, -1:], transition[Key.ACTION]]

    states = torch.arange(1, items + 1)
    pairs = torch.cartesian_prod(states, states)
    steps = rows([[0, int(s)] for s, _ in pairs], [int(a) for _, a in pairs])

    def best(reward):
        gain = reward(steps).view(items, items).double()
        value = torch.zeros(items, dtype=torch.float64)
        for _ in range(600):
            value = (gain + discount * value).max(1).values
        return gain + discount * value

    plain = best(PairReward())
    shaped = best(TableShaping(PairReward(), table, discount))
    assert torch.equal(plain.argmax(1), shaped.argmax(1))
    # More exactly, all values are moved by the potential (Ng, Harada and Russell 1999).
    torch.testing.assert_close(shaped, plain - table[1:].double().unsqueeze(1), atol=1e-5, rtol=0)
    # A wrong discount is no longer harmless.
    wrong = best(TableShaping(PairReward(), 10 * table, 0.5))
    assert not torch.equal(plain.argmax(1), wrong.argmax(1))


def test_continuation_shaping_weighs_as_the_learner():
    users = tiny.tiny_user_model(whole=True)
    model = users.choice
    torch.nn.init.normal_(model.value.weight)
    shaped = ContinuationShaping(EngagementReward())
    steps = rows([[0, 2, 2], [0, 0, 1], [3, 1, 2]], [2, 3, 0])
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
