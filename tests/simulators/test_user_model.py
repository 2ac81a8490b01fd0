"""The simulator of a user model: closed forms, its contract, and what may be shown."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchrl.envs.utils import check_env_specs

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.users.user_model import UserModel
from tests.simulators.tastes import fixed_tastes, starts_of

ALLOWED = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 1]]).bool()


def play(simulator, choose):
    """Whole sessions of all rows, without resets: rows (T, B) of next states."""
    state, steps = simulator.reset(), []
    for _ in range(simulator.max_steps):
        state[Key.ACTION] = choose(state)
        steps.append(simulator.step(state)["next"])
        state = steps[-1].exclude("reward").clone()
    return torch.stack(steps)


def lowest(slate_size=1):
    """Show the items of lowest index."""

    def choose(state):
        order = state[Key.MASK].float() - torch.arange(state[Key.MASK].shape[1]) * 1e-6
        values, columns = order.topk(slate_size)
        return columns * (values > 0.5)

    return choose


def test_common_random_numbers_follow_the_user_not_the_row():
    starts = starts_of([[1], [2], [3], [4]])
    model = fixed_tastes([0.3, 0.5, 0.6, 0.4] * 5)
    few = UserModelSimulator(model, starts, 2, max_steps=8)
    all_ = UserModelSimulator(model, starts, 4, max_steps=8)
    few.fix(torch.tensor([3, 1]), seed=9)
    all_.fix(torch.arange(4), seed=9)
    some, everyone = play(few, lowest()), play(all_, lowest())
    for key in ("reward", "done", Key.TAKEN, Key.HISTORY):
        assert torch.equal(some[key], everyone[key][:, [3, 1]])
    # Another item in between leaves the noise of all others as it was.
    all_.fix(torch.arange(4), seed=9)
    state = all_.reset()
    state[Key.ACTION] = torch.full((4, 1), 20)
    assert torch.equal(all_.step(state)["next", "done"], everyone["done"][0])


@settings(max_examples=25, deadline=None)
@given(
    histories=st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6),
    slate_size=st.integers(1, 4),
    seed=st.integers(0, 99),
    shortlist=st.sampled_from([None, 5]),
)
def test_nothing_ineligible_is_ever_shown(histories, slate_size, seed, shortlist):
    popularity = torch.tensor([0, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    rows = len(histories)
    simulator = UserModelSimulator(
        fixed_tastes([0.5] * 9),
        starts_of(histories),
        rows,
        slate_size=slate_size,
        max_steps=12,
        ending="fixed",
        max_candidates=shortlist,
        popularity=popularity,
    )
    simulator.fix(torch.arange(rows), seed)
    torch.manual_seed(seed)
    state, shown = simulator.reset(), [list(history) for history in histories]
    over = torch.zeros(rows, dtype=torch.bool)
    for _ in range(12):
        state = simulator.step(simulator.rand_action(state))
        for row, slate in enumerate(state[Key.ACTION].tolist()):
            items = [item for item in slate if item]
            assert len(set(items)) == len(items)
            assert not set(items) & set(shown[row])
            assert shortlist is None or max(items, default=0) <= 5
            shown[row] += items
        eligible = set(range(1, (shortlist or 9) + 1))
        over |= torch.tensor([eligible <= set(items) for items in shown])
        state = state["next"].exclude("reward")
        assert (state["truncated"].squeeze(-1) | ~over).all()


def test_repeats_and_what_the_log_holds():
    model, starts = fixed_tastes([0.5] * 4), starts_of([[1, 2], [5, 3]])
    masks = UserModelSimulator(model, starts, 2)
    masks.fix(torch.arange(2), 0)
    assert masks.reset()[Key.MASK].int().tolist() == [[0, 0, 0, 1, 1], [0, 1, 1, 0, 1]]
    # What the log's domain forbids a user is never shown, even where items come again.
    forbidding = starts_of([[1, 2], [5, 3]], allowed=lambda users: ALLOWED[users])
    masks = UserModelSimulator(model, forbidding, 2, repeats=True)
    masks.fix(torch.tensor([1, 0]), 0)
    assert torch.equal(masks.reset()[Key.MASK], ALLOWED[[1, 0]])
    free = UserModelSimulator(model, starts, 2, repeats=True)
    state = free.reset()
    assert state[Key.MASK][:, 1:].all()
    # What was shown may be shown in the next step again, but never twice in one slate.
    state[Key.ACTION] = torch.tensor([[2], [4]])
    assert free.step(state)["next", Key.MASK][:, 1:].all()


def test_drawn_starts_cut_inside_the_user_and_keep_an_event():
    starts = starts_of([[1, 2, 3], [4], []], cut=True)
    users, ends = starts.draw(3000, None)
    history = starts.history(users, ends, 4)
    drawn = [{(0, 0, 0, 1), (0, 0, 1, 2), (0, 1, 2, 3)}, {(0, 0, 0, 4)}, {(0, 0, 0, 0)}]
    for user, kinds in enumerate(drawn):
        assert set(map(tuple, history[users == user].tolist())) == kinds
    rows, items = starts.seen(users[:50], ends[:50])
    for row in range(50):
        assert items[rows == row].tolist() == [i for i in history[row].tolist() if i]
    thirds = (history[users == 0] > 0).sum(1).bincount(minlength=4)[1:] / (users == 0).sum()
    torch.testing.assert_close(thirds, torch.full((3,), 1 / 3), atol=0.05, rtol=0)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="same items"):
        UserModel([fixed_tastes([0.5]).choice, fixed_tastes([0.5, 0.5]).choice])
    for bad, message in (
        ({"leave_rate": 1.5}, "leave_rate is 1.5"),
        ({"slate_size": 30}, "slate_size is 30"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"max_candidates": 3}, "popularity"),
    ):
        with pytest.raises(RecipeError, match=message):
            UserModelSimulator(fixed_tastes([0.5] * 24), starts_of([[]]), 1, **bad)


def test_an_ensemble_takes_by_the_mean_and_says_how_uncertain_it_is():
    # One member takes item 1 with probability .1, the other with .9; of item 2 both say .5.
    users = UserModel([fixed_tastes(p).choice for p in ([0.1, 0.5], [0.9, 0.5])])
    count, starts = 20_000, starts_of([[]] * 20_000)
    settings = {"max_steps": 2, "ending": "fixed", "expected": True}
    simulator = UserModelSimulator(users, starts, count, **settings)
    torch.manual_seed(0)
    assert not simulator.reset()[Key.UNCERTAINTY].any()
    first, second = play(simulator, lowest())
    assert first[Key.ACCEPTED].mean() == pytest.approx(0.5, abs=0.012)
    # The entropy of a fair coin less that of one which falls on one side nine times in ten.
    uncertainty = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    torch.testing.assert_close(first[Key.UNCERTAINTY], torch.full((count, 1), uncertainty))
    torch.testing.assert_close(first["reward"], torch.full((count, 1), 0.5))
    torch.testing.assert_close(second[Key.UNCERTAINTY], torch.zeros(count, 1), atol=1e-6, rtol=0)
    check_env_specs(UserModelSimulator(users, starts_of([[]] * 4), 4, max_steps=2))
