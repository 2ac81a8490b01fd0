"""Normalisation: the scale that training and judging share, by hand."""

import pytest
import torch
from lightrec_rewards.normalised import NormalisedReward, RunningMoments
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.rewards.base import Reward


class ItemReward(Reward):
    """The number of the item accepted."""

    def forward(self, transition):
        return (transition[Key.ACTION] * self.taken(transition)).sum(1, keepdim=True).float()


def rows(history, clicked):
    history, clicked = torch.tensor(history), torch.tensor(clicked).unsqueeze(1)
    data = {Key.HISTORY: history, Key.ACTION: clicked.clamp_min(1), Key.TAKEN: clicked > 0}
    return TensorDict(data, batch_size=[len(history)])


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


def test_after_enough_rows_the_scale_stays():
    reward = NormalisedReward(ItemReward(), rows=4)
    for _ in range(3):
        reward(rows([[0]] * 3, [1, 2, 4]))
    assert reward.moments.count == 6
