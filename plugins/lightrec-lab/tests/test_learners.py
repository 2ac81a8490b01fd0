"""Weighted likelihood, in a small world whose reward is known."""

import pytest
import torch
from lightrec_lab.irl import RewardWeightedLikelihood
from torch.nn.functional import pad

from lightrec.keys import Key
from lightrec.users.irl import chosen, mean
from tests.users.irl.tabular_choice import build, drawn_world, likelihood


def test_weighted_likelihood_by_hand():
    reward, batch = drawn_world()
    weighted = build(RewardWeightedLikelihood())
    paid = build(RewardWeightedLikelihood("probability-log"))
    for learner in (weighted, paid):
        with torch.no_grad():
            learner.reward_network.table.copy_(reward)
    items = pad(reward, (1, 0))[batch[Key.HISTORY].squeeze(1) - 1].gather(1, batch[Key.CANDIDATES])
    log_p = chosen(pad(items, (0, 1)).log_softmax(1), batch)
    accepted = (batch[Key.CHOICE] < 2).double()
    assert float(weighted.loss(batch, 0.0)) == pytest.approx(float(-mean(accepted * log_p, batch)))
    expected = -mean(log_p.exp() * log_p * log_p, batch)
    assert float(paid.loss(batch, 0.0)) == pytest.approx(float(expected))
    # p·log p is never positive: a step on it makes what was chosen less likely.
    paid.loss(batch, 0.0).backward()
    with torch.no_grad():
        paid.reward_network.table -= 0.1 * paid.reward_network.table.grad
    assert likelihood(paid, batch) < float(mean(log_p, batch))
