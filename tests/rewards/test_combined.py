"""Sums, normalisation and shaping: hand values, telescoping and an optimal policy."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward
from lightrec.rewards.base import Reward, RewardContext
from lightrec.rewards.combined import NormalisedReward, RunningMoments, WeightedSum
from lightrec.rewards.penalties import RepetitionPenalty
from lightrec.rewards.staying import ContinuationShaping, ShapedReward, ending
from lightrec.simulators.user_model import UserModelSimulator
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


def test_a_weighted_sum_by_hand():
    parts = [ItemReward(), EngagementReward(), RepetitionPenalty()]
    found = WeightedSum(parts, [0.5, 10, 2])(STEPS)
    assert found.flatten().tolist() == [1 + 10 - 4, 1.5 + 10, 0]
    assert WeightedSum(parts)(STEPS).flatten().tolist() == [2 + 1 - 2, 3 + 1, 0]
    for wrong in ([], [1.0]):
        with pytest.raises(RecipeError, match="one weight a part"):
            WeightedSum(parts, wrong)
    with pytest.raises(RecipeError, match="at least one part"):
        WeightedSum([])


def test_moments_are_those_of_all_numbers():
    torch.manual_seed(0)
    values = 1000 + torch.randn(1000)
    moments = RunningMoments()
    for part in values.split([1, 9, 390, 600]):
        moments.update(part)
    assert moments.mean.item() == pytest.approx(values.double().mean().item(), abs=1e-9)
    assert moments.deviation.item() == pytest.approx(values.double().std().item(), abs=1e-9)
    assert RunningMoments().deviation == 1


@pytest.mark.parametrize("center", [False, True])
def test_normalised_rewards_have_unit_spread(center):
    reward = NormalisedReward(ItemReward(), center)
    steps = rows([[0]] * 4, [0, 2, 4, 6])
    mean, spread = (3.0 if center else 0.0), (20 / 3) ** 0.5
    expected = [(x - mean) / spread for x in (0, 2, 4, 6)]
    assert reward(steps).flatten().tolist() == pytest.approx(expected)
    # What judges shares the scale and never moves it, in whatever mode the other is.
    judged = reward.judged
    assert judged(rows([[0]], [2])).item() == pytest.approx((2 - mean) / spread)
    assert reward.moments.count == 4
    assert reward.training
    reward.eval()(rows([[0]], [100]))
    assert reward.moments.count == 4
    reward.train()(rows([[0]], [100]))
    assert reward.moments.count == 5
    scale = 1 / float(reward.moments.deviation)
    apart = judged(rows([[0]], [2])) - judged(rows([[0]], [1]))
    assert apart.item() == pytest.approx(scale)


def test_outcomes_count_by_their_probabilities():
    """The deviation is that of drawn answers, and of one that cannot be nothing is asked."""
    drawn, law = NormalisedReward(ItemReward()), NormalisedReward(ItemReward())
    drawn(rows([[0]] * 10, [4] + [0] * 9))
    outcomes = rows([[0]] * 6, [4, 0] * 3)
    outcomes[Key.WEIGHT] = torch.tensor([0.1, 0.9]).repeat(3)
    law(outcomes)
    assert law.moments.mean.item() == pytest.approx(drawn.moments.mean.item())
    assert law.moments.square.item() / 3 == pytest.approx(drawn.moments.square.item() / 10)
    assert law.moments.count.item() == pytest.approx(3)
    moments = RunningMoments()
    moments.update(torch.tensor([1.0, 3.0, torch.inf]), torch.tensor([0.5, 0.5, 0.0]))
    assert (moments.mean, moments.square) == (2, 1)


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


def test_after_enough_rows_the_scale_stays():
    reward = NormalisedReward(ItemReward(), rows=4)
    for _ in range(3):
        reward(rows([[0]] * 3, [1, 2, 4]))
    assert reward.moments.count == 6


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


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_shaping_telescopes_along_sessions(discount):
    torch.manual_seed(0)
    table = torch.randn(tiny.NUM_ITEMS + 2)
    model = tiny.tiny_user_model()
    settings = {"leave_rate": 0.0, "max_steps": 6, "history_length": 5, "repeats": True}

    def total(reward):
        simulator = UserModelSimulator(model, tiny.tiny_starts(), 8, reward=reward, **settings)
        simulator.fix(torch.arange(8) % 4, 3)
        state = first = simulator.reset()
        sums, weight = torch.zeros(8, 1), 1.0
        for step in range(6):
            state["action"] = torch.full((8, 1), 1 + step)
            state = simulator.step(state)["next"]
            sums, weight = sums + weight * state["reward"], weight * discount
        return sums, first["history"], state["history"]

    shaped = TableShaping(EngagementReward(), table, discount)
    shaped.nothing = tiny.NUM_ITEMS + 1
    plain, *_ = total(EngagementReward())
    found, first, last = total(shaped)
    ends = discount**6 * table[last[:, -1:]] - table[first[:, -1:]]
    torch.testing.assert_close(found - plain, ends, atol=1e-5, rtol=0)


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
