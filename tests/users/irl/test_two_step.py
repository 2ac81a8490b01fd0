"""The two-step estimator against worlds whose values can be enumerated."""

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.users.irl import fit_continuation
from tests.users.irl.tabular_choice import N, TabularChoice, every_offer, solve


@pytest.mark.parametrize("records_nothing", [True, False])
@pytest.mark.parametrize(("discount", "leave_rate"), [(0.9, 0.0), (0.95, 0.2), (0.5, 0.0)])
def test_reward_of_a_small_world_is_recovered(records_nothing, discount, leave_rate):
    torch.manual_seed(0)
    reward = torch.randn(N + 1, N, dtype=torch.float64)
    value, utilities = solve(reward, discount * (1 - leave_rate), records_nothing)
    model = TabularChoice(utilities.float(), records_nothing)
    fit_continuation(model, every_offer(), discount=discount, leave_rate=leave_rate, ridge=0.0)
    states = torch.arange(1, N + 2).unsqueeze(1)
    found = model.reward(states, torch.arange(1, N + 1).expand(N + 1, N))
    assert torch.allclose(found.double(), reward, atol=1e-3)
    assert torch.allclose(model.continuation(model.state(states)).double(), value, atol=1e-3)


def test_without_discount_it_is_the_conditional_logit():
    table = torch.randn(N + 1, N)
    model = TabularChoice(table, True)
    fit_continuation(model, every_offer(), discount=0.0, leave_rate=0.1)
    states = torch.arange(1, N + 2).unsqueeze(1)
    assert torch.equal(model.reward(states, torch.arange(1, N + 1).expand(N + 1, N)), table)


@pytest.mark.parametrize(
    "bad",
    [
        {"discount": 1.0, "leave_rate": 0.0},
        {"discount": -0.1, "leave_rate": 0.0},
        {"discount": 0.9, "leave_rate": 2.0},
    ],
)
def test_assumptions_out_of_range_are_refused(bad):
    with pytest.raises(RecipeError, match="between 0 and 1"):
        fit_continuation(TabularChoice(torch.zeros(N + 1, N), True), every_offer(), **bad)
