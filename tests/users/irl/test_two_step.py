"""The two-step estimator against worlds whose values can be enumerated."""

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.irl.base import fit_continuation, with_assumptions
from tests.users.irl.tabular_choice import SETS, N, TabularChoice, solve


def every_offer():
    """Each state with each set, all with weight 1."""
    states = torch.arange(1, N + 2).repeat_interleave(len(SETS)).unsqueeze(1)
    sets, weight = SETS.repeat(N + 1, 1), torch.ones(len(states))
    yield {Key.HISTORY: states, Key.CANDIDATES: sets, Key.WEIGHT: weight}


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


def test_other_assumptions_leave_the_model_as_it_was():
    torch.manual_seed(0)
    model = TabularChoice(torch.randn(N + 1, N), True)
    fit_continuation(model, every_offer(), discount=0.9, leave_rate=0.0)
    before = model.value.weight.clone()
    other = with_assumptions(
        model, every_offer(), discount=0.5, leave_rate=0.1, nothing_odds_ratio=2.0
    )
    assert torch.equal(model.value.weight, before)
    assert other.survival_discount == pytest.approx(0.45)
    odds = [
        m.log_probabilities(torch.tensor([[1]]), torch.tensor([[2, 3]]))[0, -1].exp().logit()
        for m in (other, model)
    ]
    assert (odds[0] - odds[1]).exp().item() == pytest.approx(2.0, rel=1e-4)


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
