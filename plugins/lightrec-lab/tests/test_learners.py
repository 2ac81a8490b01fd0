"""Learners from choices, against a small world whose reward is known."""

import pytest
import torch
from lightrec_lab.irl import ClickClassifier, IQLearn, RewardWeightedLikelihood
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.irl import chosen, mean
from tests.users.irl.tabular_choice import (
    DISCOUNT,
    build,
    drawn_world,
    found_rewards,
    likelihood,
    same_as_logit,
    train,
)


@pytest.fixture(scope="module")
def world():
    return drawn_world()


def test_the_true_reward_is_found(world):
    reward, batch = world
    learner = train(build(IQLearn(strength=1e4)), batch)
    assert (found_rewards(learner) - reward).abs().max() < 0.1


def test_the_end_of_a_session_is_worth_nothing_and_a_cut_one_is_predicted(world):
    batch = {name: value[:1] for name, value in world[1].items()}
    learner = build(IQLearn(anchor=0.0, strength=1.0))
    history = torch.full((1, 1), int(batch[Key.CANDIDATES][0, batch[Key.CHOICE]]))
    after = {
        Key.CUT: learner.slow(history),
        Key.ENDED: torch.zeros(1).double(),
    }
    base, utilities = learner._parts(batch[Key.HISTORY], batch[Key.CANDIDATES])
    value = base + utilities.logsumexp(1)
    error = (learner.value(batch[Key.HISTORY]) - value).square() / 2
    for key, later in after.items():
        reward = base + chosen(utilities, batch) - DISCOUNT * later
        expected = value - DISCOUNT * later - reward + reward.square() / 4 + error
        loss = learner.loss(batch | {key: torch.ones(1, dtype=torch.bool)}, 1.0)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_click_classifier_and_weighted_likelihood_by_hand(world):
    reward, batch = world
    click, weighted = build(ClickClassifier()), build(RewardWeightedLikelihood())
    paid = build(RewardWeightedLikelihood("probability-log"))
    for learner in (click, weighted, paid):
        with torch.no_grad():
            learner.reward_network.table.copy_(reward)
    items = pad(reward, (1, 0))[batch[Key.HISTORY].squeeze(1) - 1].gather(1, batch[Key.CANDIDATES])
    taken = pad(torch.eye(2), (0, 0, 0, 1)).double()[batch[Key.CHOICE]]
    each = binary_cross_entropy_with_logits(items, taken, reduction="none").mean(1)
    assert float(click.loss(batch, 0.0)) == pytest.approx(float(mean(each, batch)))
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


def test_without_discount_it_is_the_conditional_logit(world):
    reward, batch = world
    same_as_logit(build(IQLearn(strength=1e12), 0.0), reward, batch)
    with pytest.raises(RecipeError, match="strength"):
        IQLearn(strength=0.0)
