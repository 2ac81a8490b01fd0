"""What opens and shuts within sessions: masks and offers after each step, and slates."""

import pytest
import torch

from lightrec.keys import Key
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import fixed_tastes, starts_of

ITEMS = 40
HISTORIES = [[1], [2, 3], [], [39, 40, 5]]
USERS = 256


def doors(had, shown):
    """What is open (B, N + 1): each item that was shown or had opens and shuts others.

    Item i is open to who was shown the item before it, or has not had the one after it; and the
    first three always.
    """
    opened, shut = shown.roll(1, 1), had.roll(-1, 1)
    opened[:, 1], shut[:, -1] = False, False
    mask = opened | ~shut
    mask[:, 1:4] = True
    mask[:, 0] = False
    return mask


def flags(items):
    mask = torch.zeros(len(items), ITEMS + 1, dtype=torch.bool)
    mask = mask.scatter(1, items.where(items <= ITEMS, 0), True)
    mask[:, 0] = False
    return mask


def logged(users):
    """The histories (B, 3) of users in the log."""
    return torch.tensor([[0] * (3 - len(past)) + past for past in HISTORIES])[users.cpu() % 4]


def allowed(users, ends, played):
    """What a domain says, of histories that are whole."""
    had = flags(logged(users)) | flags(played[Key.HISTORY].cpu())
    return doors(had, flags(played[Key.SHOWN].cpu()))


def make(**settings):
    starts = starts_of(HISTORIES * (USERS // 4), allowed=allowed, by_history=True)
    model = fixed_tastes([0.3 + 0.01 * item for item in range(ITEMS)])
    usual = {"history_length": 4, "ending": "fixed", "max_steps": 60}
    return UserModelSimulator(model, starts, USERS, **usual | settings)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("offer_size", [None, 12])
def test_nothing_shut_is_shown_and_what_opens_is(repeats, offer_size):
    simulator = make(slate_size=3, repeats=repeats, offer_size=offer_size)
    users = torch.arange(USERS)
    simulator.fix(users, 0)
    state, before_all = simulator.reset(), flags(logged(users))
    had, shown = before_all, torch.zeros_like(before_all)
    before, draws, opened = doors(before_all, shown), 0, 0
    while not state["done"].all():
        state = simulator.rand_action(state)
        may = doors(had, shown) & (repeats | ~(before_all | shown))
        opened += int((may & ~before).sum())
        before = may
        if offer_size is None:
            assert torch.equal(state[Key.MASK], may)
        else:
            offer = state[Key.CANDIDATES]
            assert not (flags(offer) & ~may).any()
            assert torch.equal((offer > 0).sum(1), may.sum(1).clamp_max(offer_size))
        assert not (flags(state[Key.ACTION]) & ~may).any()
        draws += int((state[Key.ACTION] > 0).sum())
        slate, after = state[Key.ACTION], simulator.step(state)["next"]
        had, shown = had | flags(slate * after[Key.TAKEN]), shown | flags(slate)
        state = after.exclude("reward").clone()
    assert opened > 100
    assert draws > (40_000 if repeats else 2_000)


def test_a_session_that_begins_anew_knows_its_own_past_alone():
    simulator = make(slate_size=2, repeats=True)
    simulator.fix(torch.arange(USERS), 2)
    first = simulator.reset()
    state = first
    for _ in range(5):
        state = simulator.step(simulator.rand_action(state))["next"].exclude("reward").clone()
    again = torch.arange(USERS).unsqueeze(1) % 2 == 0
    fresh = simulator.reset(state.clone().set("_reset", again))
    even = again.squeeze(1)
    assert torch.equal(fresh[Key.MASK][even], first[Key.MASK][even])
    assert torch.equal(fresh[Key.MASK][~even], state[Key.MASK][~even])
    assert not fresh[Key.PAST, Key.SHOWN][even].any()
    assert not torch.equal(first[Key.MASK][~even], state[Key.MASK][~even])


def test_an_offer_keeps_to_what_does_not_change_either():
    forbidden = torch.ones(2, ITEMS + 1, dtype=torch.bool)
    forbidden[0, 6:] = forbidden[:, 0] = False
    starts = starts_of([[], []], allowed=lambda users: forbidden[users])
    simulator = UserModelSimulator(
        fixed_tastes([0.5] * ITEMS), starts, 2, offer_size=12, slate_size=2, max_steps=2
    )
    simulator.fix(torch.arange(2), 0)
    offers = simulator.reset()[Key.CANDIDATES]
    assert sorted(offers[0].tolist()) == [0] * 7 + [1, 2, 3, 4, 5]
    assert (offers[1] > 0).all()
    assert offers[1].max() > 6


@pytest.mark.slow
def test_a_step_compiles_around_the_domain():
    simulator = make(slate_size=2, repeats=True, max_steps=4)
    simulator.fix(torch.arange(USERS), 3)
    state = simulator.rand_action(simulator.reset())
    expected = simulator._step(state.clone())
    torch.compiler.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        found = torch.compile(simulator._step, backend="eager")(state.clone())
    assert torch.equal(found[Key.MASK], expected[Key.MASK])
