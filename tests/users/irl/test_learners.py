"""Learners from logs, against a small world whose reward is known."""

import pytest
import torch
from lightrec_lab.irl import ClickClassifier, IQLearn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import PooledChoice, with_nothing
from lightrec.users.irl.base import RewardWeightedLikelihood, chosen, mean
from lightrec.users.irl.looking_ahead import MaxEnt
from lightrec.users.reward_model import RewardModel
from tests.users.irl.tabular_choice import SETS, N, TabularChoice, solve

DISCOUNT = 0.8


def rows(reward):
    """Every state, offer, choice and offer of the next step, weighed by how likely it is."""
    utilities = solve(reward, DISCOUNT)[1]
    grid = torch.cartesian_prod(*(torch.arange(n) for n in (N + 1, len(SETS), 3, len(SETS))))
    state, offer, choice, following = grid.unbind(1)
    history, sets = state.unsqueeze(1) + 1, SETS[offer]
    q = pad(pad(utilities, (1, 0))[state].gather(1, sets), (0, 1))
    weight = q.softmax(1).gather(1, choice.unsqueeze(1)).squeeze(1)
    never = torch.zeros(len(grid), dtype=torch.bool)
    return {
        Key.HISTORY: history,
        Key.CANDIDATES: sets,
        Key.CHOICE: choice,
        Key.WEIGHT: weight.double(),
        Key.NEXT_CANDIDATES: SETS[following],
        Key.ENDED: never,
        Key.CUT: never,
    }


def build(learner, discount=DISCOUNT):
    torch.manual_seed(0)
    start = torch.zeros(N + 1, N, dtype=torch.float64)
    learner.build(lambda: TabularChoice(start), discount)
    return learner.double()


def train(learner, batch, steps=400):
    parameters = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, 3e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = learner.loss(batch, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        learner.stepped()
    return learner


def likelihood(learner, batch):
    values = with_nothing(learner.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]))
    return mean(chosen(values.log_softmax(1), batch), batch).item()


@torch.no_grad()
def found_rewards(learner):
    states = torch.arange(1, N + 2).unsqueeze(1)
    items = torch.arange(1, N + 1).expand(N + 1, N)
    return learner.reward_model().reward(states, items)


@pytest.fixture(scope="module")
def world():
    reward = torch.randn(N + 1, N, generator=torch.Generator().manual_seed(3)).double()
    return reward, rows(reward)


def test_the_true_reward_is_found(world):
    reward, batch = world
    learner = train(build(IQLearn(strength=1e4)), batch)
    assert (found_rewards(learner) - reward).abs().max() < 0.1


def test_a_free_reward_of_nothing_explains_choices_as_well_and_is_another(world):
    reward, batch = world
    anchored, free = (train(build(MaxEnt(way)), batch) for way in (True, False))
    assert (found_rewards(anchored) - reward).abs().max() < 0.1
    assert likelihood(free, batch) == pytest.approx(likelihood(anchored, batch), abs=1e-4)
    assert (found_rewards(free) - reward).abs().max() > 0.3


@pytest.mark.parametrize("learner", [MaxEnt(), IQLearn(strength=1e12)], ids=["maxent", "iq-learn"])
def test_without_discount_all_are_the_conditional_logit(world, learner):
    reward, batch = world
    build(learner, 0.0)
    with torch.no_grad():
        learner.reward_network.table.copy_(reward)
    learner.loss(batch, 1.0).backward()
    logit = TabularChoice(reward)
    values = with_nothing(logit.utilities(logit.state(batch[Key.HISTORY]), batch[Key.CANDIDATES]))
    (-mean(chosen(values.log_softmax(1), batch), batch)).backward()
    torch.testing.assert_close(
        learner.reward_network.table.grad, logit.table.grad, atol=1e-9, rtol=1e-9
    )
    found = learner.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES])
    torch.testing.assert_close(found, values[:, :-1])


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
        found = learner.loss(batch | {key: torch.ones(1, dtype=torch.bool)}, 1.0)
        assert found.item() == pytest.approx(expected.item(), rel=1e-9)


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


def test_what_is_learned_is_saved_and_loaded(world, tmp_path):
    learner = IQLearn()
    learner.build(lambda: PooledChoice(5, 3, 4, identity_size=0), 0.7)
    model = learner.reward_model().eval()
    model.save_pretrained(tmp_path)
    again = RewardModel.load(tmp_path)
    history, items = torch.tensor([[0, 1, 6, 2]]), torch.tensor([[3, 4, 5]])
    assert again.discount == 0.7
    assert torch.equal(again.reward(history, items), model.reward(history, items))


def test_settings_are_those_of_the_recipe_and_strength_is_checked():
    assert IQLearn(anchor=0.0).description["init_args"] == {"anchor": 0.0, "strength": 10.0}
    assert MaxEnt(False).description == {
        "class_path": "lightrec.users.irl.looking_ahead.MaxEnt",
        "init_args": {"anchored": False},
    }
    with pytest.raises(RecipeError, match="strength"):
        IQLearn(strength=0.0)
