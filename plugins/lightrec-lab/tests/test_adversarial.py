"""Rewards by a discriminator, by themselves: closed forms, signs, penalties."""

import math

import pytest
import torch
from lightrec_lab.adversarial import AIRL, GAIL
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.transitions import FEATURES

TWO = torch.eye(3)[:, 1:]
"""Vectors of two items."""


def transitions(features, items, following, ended):
    rows = len(features)
    after = {FEATURES: following, "terminated": torch.tensor(ended).unsqueeze(1)}
    action = torch.tensor(items).view(rows, -1)
    state = {FEATURES: features, Key.ACTION: action, "next": TensorDict(after, [rows])}
    return TensorDict(state, [rows])


def test_airl_is_reward_potential_and_policy():
    """f = g + γ h(s') - h(s), h being 0 after an end; by hand."""
    reward = AIRL(0.9, hidden=[]).fitted_to(1, TWO, 1)
    reward.vectors.copy_(TWO)
    with torch.no_grad():
        tower = reward.discriminator["choice"][0]
        tower.weight.copy_(torch.tensor([[1.0, 9], [2, 9], [0.5, 9]]))
        tower.bias.copy_(torch.tensor([0.1, 0.2, 0.0]))
        potential = reward.discriminator["potential"][0]
        potential.weight.copy_(torch.tensor([[3.0, 9]]))
        potential.bias.fill_(1.0)
    reward.end_iteration(waiting=True)
    two, four = torch.full((2, 1), 2.0), torch.full((2, 1), 4.0)
    batch = transitions(two, [1, 2], four, [False, True])
    batch[Key.LOG_PROBABILITY] = torch.tensor([0.25, 0.5]).log()
    g = torch.tensor([1 * 2 + 0.1 + 0.5 * 2, 2 * 2 + 0.2 + 0.5 * 2])
    f = g + torch.tensor([0.9 * 13 - 7, -7])
    torch.testing.assert_close(reward.learned(batch), g)
    torch.testing.assert_close(reward.logit(batch), f - batch[Key.LOG_PROBABILITY])
    # D = exp f / (exp f + π) is the sigmoid of that.
    d = f.exp() / (f.exp() + torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(reward.logit(batch).sigmoid(), d)


def test_absorbing_states_are_all_alike():
    reward = GAIL().fitted_to(3, TWO, 1)
    features, following = torch.randn(2, 4, 3)
    batch = transitions(features, [1, 2, 2, 1], following, [False, True, False, False])
    over = torch.tensor([[True], [False]]).repeat(2, 1)
    batch[Key.ABSORBING] = batch["next", Key.ABSORBING] = over
    logits = reward.logit(batch)
    assert logits[0] == logits[2]
    assert logits[1] != logits[3]
    assert torch.equal(reward.states(batch)[0], torch.tensor([0.0, 0, 0, 1]))


def linear(weight, bias):
    """A GAIL of one feature x, whatever is shown: logit = w · x + b."""
    reward = GAIL(hidden=[], penalty=0.0).fitted_to(1, TWO, 1)
    with torch.no_grad():
        for parameter in reward.discriminator["choice"].parameters():
            parameter.zero_()
        reward.discriminator["choice"][0].weight[-1, 0] = weight
        reward.discriminator["choice"][0].bias[-1] = bias
    return reward


def at(*values):
    features = torch.tensor(values).unsqueeze(1)
    return transitions(features, [1] * len(values), features, [False] * len(values))


def test_penalty_of_a_linear_score_is_that_of_its_slope():
    reward = linear(3.0, 0.0)
    assert reward.gradient_penalty(at(1.0, 2.0), at(5.0, -1.0)).item() == pytest.approx(4.0)
    reward.penalty = 10.0
    assert reward.losses(at(1.0), at(5.0))["loss_penalty"].item() == pytest.approx(40.0)


def test_rewards_are_divided_by_their_spread_and_nothing_is_taken_off():
    reward = linear(1.0, 0.0)
    first = reward(at(1.0, 3.0))
    torch.testing.assert_close(first, torch.tensor([[1.0], [3.0]]))  # their deviation is 1
    # Means 2 and 6, mean squares 5 and 40: the mixture's variance is 22.5 - 16.
    second = reward(at(4.0, 8.0))
    torch.testing.assert_close(second, torch.tensor([[4.0], [8.0]]) / math.sqrt(22.5 - 16))
    assert not first.requires_grad
    again = reward.eval()(at(4.0))  # and in evaluation by what was seen in training
    torch.testing.assert_close(again, torch.tensor([[4.0]]) / math.sqrt(22.5 - 16))
