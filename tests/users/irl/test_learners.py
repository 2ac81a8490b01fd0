"""Maximum entropy and the two-step estimator, against small worlds whose reward is known.

A choice model that is a table, and the exact user of a small world, stand beside them.
"""

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot, pad

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import ChoiceModel, with_nothing
from lightrec.users.irl import MaxEnt, chosen, fit_continuation, mean

N = 4
DISCOUNT = 0.8
SETS = torch.tensor(list(combinations(range(1, N + 1), 2)))


class TabularChoice(ChoiceModel):
    """The state is the last choice; utilities come from a table."""

    def __init__(self, table, records_nothing=True):
        sizes = {"feature_size": 1, "hidden_size": 1, "identity_size": 1, "discount": 0.0}
        sizes |= {"state_size": N + 1, "leave_rate": 0.0}
        super().__init__(N, 1, 1, records_nothing=records_nothing, **sizes)
        self.table = nn.Parameter(table.clone())

    def state(self, history):
        return one_hot(history[:, -1] - 1, N + 1).to(self.table.dtype)

    def after(self, history, items):
        return one_hot(items - 1, N + 1).to(self.table.dtype)

    def utilities(self, state, items=None, user=None):
        return pad(state @ self.table, (1, 0)).gather(1, items) - self.nothing_shift


def solve(reward, discount, records_nothing=True):
    """Soft value iteration: W (N + 1,) and utilities (N + 1, N), offers being even."""
    value = torch.zeros(N + 1, dtype=torch.float64)
    for _ in range(2000):
        idle = value[N].expand(N + 1) if records_nothing else value
        q = torch.cat([reward + discount * value[:N], (discount * idle).unsqueeze(1)], 1)
        offers = torch.stack([q[:, [*(s - 1).tolist(), N]].logsumexp(1) for s in SETS])
        value = offers.mean(0)
    return value, q[:, :N] - q[:, N:]


@pytest.fixture(scope="module")
def world():
    """A reward, and every state, offer and choice, weighed by how likely it is under it."""
    reward = torch.randn(N + 1, N, generator=torch.Generator().manual_seed(3)).double()
    utilities = solve(reward, DISCOUNT)[1]
    grid = torch.cartesian_prod(*(torch.arange(n) for n in (N + 1, len(SETS), 3)))
    state, offer, choice = grid.unbind(1)
    history, sets = state.unsqueeze(1) + 1, SETS[offer]
    q = pad(pad(utilities, (1, 0))[state].gather(1, sets), (0, 1))
    weight = q.softmax(1).gather(1, choice.unsqueeze(1)).squeeze(1)
    batch = {Key.HISTORY: history, Key.CANDIDATES: sets, Key.CHOICE: choice}
    return reward, batch | {Key.WEIGHT: weight.double()}


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


def every_offer():
    """Each state with each set, all with weight 1."""
    states = torch.arange(1, N + 2).repeat_interleave(len(SETS)).unsqueeze(1)
    sets, weight = SETS.repeat(N + 1, 1), torch.ones(len(states))
    yield {Key.HISTORY: states, Key.CANDIDATES: sets, Key.WEIGHT: weight}


@pytest.mark.slow
def test_a_free_reward_of_nothing_explains_choices_as_well_and_is_another(world):
    reward, batch = world
    anchored, free = (train(build(MaxEnt(way)), batch) for way in (True, False))
    assert (found_rewards(anchored) - reward).abs().max() < 0.1
    assert likelihood(free, batch) == pytest.approx(likelihood(anchored, batch), abs=1e-4)
    assert (found_rewards(free) - reward).abs().max() > 0.3


def test_without_discount_it_is_the_conditional_logit(world):
    (reward, batch), learner = world, build(MaxEnt(), 0.0)
    with torch.no_grad():
        learner.reward_network.table.copy_(reward)
    learner.loss(batch, 1.0).backward()
    logit = TabularChoice(reward)
    values = with_nothing(logit.utilities(logit.state(batch[Key.HISTORY]), batch[Key.CANDIDATES]))
    (-mean(chosen(values.log_softmax(1), batch), batch)).backward()
    slopes = learner.reward_network.table.grad, logit.table.grad
    torch.testing.assert_close(*slopes, atol=1e-9, rtol=1e-9)
    found = learner.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES])
    torch.testing.assert_close(found, values[:, :-1])


@pytest.mark.parametrize("records_nothing", [True, False])
@pytest.mark.parametrize(("discount", "leave_rate"), [(0.9, 0.0), (0.95, 0.2), (0.0, 0.1)])
def test_reward_of_a_small_world_is_recovered(records_nothing, discount, leave_rate):
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
