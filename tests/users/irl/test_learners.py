"""Maximum entropy and the two-step estimator, against small worlds whose reward is known."""

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.users.irl import MaxEnt, fit_continuation
from tests.users.irl.tabular_choice import (
    N,
    TabularChoice,
    build,
    drawn_world,
    every_offer,
    found_rewards,
    likelihood,
    same_as_logit,
    solve,
    train,
)


@pytest.fixture(scope="module")
def world():
    return drawn_world()


@pytest.mark.slow
def test_a_free_reward_of_nothing_explains_choices_as_well_and_is_another(world):
    reward, batch = world
    anchored, free = (train(build(MaxEnt(way)), batch) for way in (True, False))
    assert (found_rewards(anchored) - reward).abs().max() < 0.1
    assert likelihood(free, batch) == pytest.approx(likelihood(anchored, batch), abs=1e-4)
    assert (found_rewards(free) - reward).abs().max() > 0.3


def test_without_discount_it_is_the_conditional_logit(world):
    reward, batch = world
    same_as_logit(build(MaxEnt(), 0.0), reward, batch)


@pytest.mark.parametrize("records_nothing", [True, False])
@pytest.mark.parametrize(("discount", "leave_rate"), [(0.9, 0.0), (0.95, 0.2), (0.0, 0.1)])
def test_reward_of_a_small_world_is_recovered(records_nothing, discount, leave_rate):
    torch.manual_seed(0)
    reward = torch.randn(N + 1, N, dtype=torch.float64)
    value, utilities = solve(reward, discount * (1 - leave_rate), records_nothing)
    model = TabularChoice(utilities.float(), records_nothing)
    fit_continuation(model, every_offer(), discount=discount, leave_rate=leave_rate, ridge=0.0)
    states = torch.arange(1, N + 2).unsqueeze(1)
    found = model.reward(states, torch.arange(1, N + 1).expand(N + 1, N))
    assert torch.allclose(found.double(), reward, atol=1e-3)
    if discount:  # else nothing is continued, and the reward is the utility
        later = model.continuation(model.state(states)).double()
        assert torch.allclose(later, value, atol=1e-3)


@pytest.mark.parametrize(("discount", "leave_rate"), [(1.0, 0.0), (-0.1, 0.0), (0.9, 2.0)])
def test_assumptions_out_of_range_are_refused(discount, leave_rate):
    model = TabularChoice(torch.zeros(N + 1, N), True)
    with pytest.raises(RecipeError, match="between 0 and 1"):
        fit_continuation(model, every_offer(), discount=discount, leave_rate=leave_rate)
