"""A log as transitions, by hand and against a loop; masks in bits; policies learned from a log."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.errors import NotApplicable
from lightrec.keys import Key
from lightrec.learners.logged_sessions import logged_sessions
from lightrec.learners.offline import OfflinePolicyModule
from lightrec.learners.transitions import PACKED, pack, stretches, unpack
from lightrec.rewards.accepted import EngagementReward
from lightrec.simulators.user_model import LogStarts
from tests.learners.training import BEST, fit, one_a_family, one_arm, policy_data
from tests.users import stores

HOUR = 3_600


def prepared(folder, items, times=None, **columns):
    """Prepare the events of one user, of which the last two are held out."""
    events = {"user": ["u"] * len(items), "item": [*items], "time": times or [*range(len(items))]}
    return stores.prepared(events | columns, folder / "data", k_core=1)


def transitions(store, **settings):
    chosen = {"history_length": 3, "slate_size": 1, "max_steps": 9, **settings}
    return logged_sessions(store, LogStarts.from_store(store), EngagementReward(), **chosen)


def test_sessions_of_a_log_by_hand(tmp_path):
    kinds = ["view", "skip", "view", "view", "view", "view"]
    store = prepared(tmp_path, "abcdef", [0, 1, 2, 9 * HOUR, 10**6, 10**7], feedback=kinds)
    rows = transitions(store)
    assert rows[Key.ACTION].flatten().tolist() == [1, 2, 3, 4]
    assert rows[Key.STEP].flatten().tolist() == [0, 1, 2, 0], "nine hours later comes another one"
    assert rows[Key.HISTORY].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]
    following = rows["next"]
    assert following[Key.HISTORY].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert following["done"].flatten().tolist() == [False, False, True, True]
    assert following["terminated"].flatten().tolist() == [False, False, True, False], "is cut"
    assert following["reward"].flatten().tolist() == [1, 0, 1, 1], "what was skipped is not taken"
    assert rows[Key.ACCEPTED_TOTAL].flatten().tolist() == [0, 1, 1, 0]
    assert following[Key.ACCEPTED_TOTAL].flatten().tolist() == [1, 1, 2, 1]
    mask = unpack(rows[PACKED], store.num_items + 1)
    for row, columns in enumerate(mask.tolist()):
        assert columns == [False] + [item > row for item in range(1, store.num_items + 1)]
    assert Key.LOG_PROBABILITY not in rows
    assert transitions(store, max_steps=2)["next", "done"].flatten().tolist() == [0, 1, 1, 1]


def test_slates_and_propensities_are_those_that_were_logged(tmp_path):
    events = ["a", None, "c", "d", "e"]
    offered = [["a", "b"], ["c", "b"], ["a", "c"], ["d", "e"], ["e", "a"]]
    store = prepared(tmp_path, events, candidates=offered, propensity=[0.5, 0.25, 0.5, 1.0, 0.1])
    rows = transitions(store, slate_size=2)
    shown = [[store.catalog["item"][item - 1] for item in row] for row in rows[Key.ACTION].tolist()]
    assert shown == offered[:3]
    assert rows["next", Key.TAKEN].tolist() == [[True, False], [False, False], [False, True]]
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY].exp(), torch.tensor([0.5, 0.25, 0.5]))
    gaps = [0.5, None, 0.5, 1.0, 0.1]
    partly = prepared(tmp_path / "gaps", events, candidates=offered, propensity=gaps)
    assert Key.LOG_PROBABILITY not in transitions(partly, slate_size=2), "not of every event"
    with pytest.raises(NotApplicable, match=r"shows 3 items .* its offers have up to 2 items"):
        transitions(store, slate_size=3)


def test_offers_that_are_no_slates_are_not_read_as_single_items(tmp_path):
    """The second of six offers is declined; without it, a propensity is still that of two items."""
    events = ["a", None, "c", "d", "e", "a"]
    offered = [["a", "b"], ["c", "b"], ["a", "c"], ["d", "e"], ["e", "a"], ["a", "b"]]
    odds = [0.5, 0.25, 0.5, 1.0, 0.1, 0.2]
    declined = prepared(tmp_path / "all", events, candidates=offered, propensity=odds)
    with pytest.raises(NotApplicable, match="In 1 of 4 training events nothing was chosen"):
        transitions(declined)
    rest = [n for n in range(6) if n != 1]
    of = {"candidates": [offered[n] for n in rest], "propensity": [odds[n] for n in rest]}
    store = prepared(tmp_path / "rest", [events[n] for n in rest], rest, **of)
    rows = transitions(store)
    assert rows["next", Key.TAKEN].all()
    assert Key.LOG_PROBABILITY not in rows


def test_a_choice_that_was_not_on_offer_is_a_step_and_no_transition(tmp_path):
    offered = [["a", "b"], ["c", "d"], ["c", "a"], ["d", "b"], ["e", "a"], ["f", "a"]]
    rows = transitions(prepared(tmp_path, "abcdef", candidates=offered), slate_size=2)
    assert rows[Key.STEP].flatten().tolist() == [0, 2, 3]
    assert rows["next", "done"].flatten().tolist() == [True, False, True]
    assert not rows["next", "terminated"].any(), "the log goes on, and ends at the held-out events"
    assert (rows[Key.ACTION] > 0).all()


@pytest.mark.parametrize("time_aware", [False, True])
def test_a_session_of_the_log_ends_where_it_ended_and_leaving_is_not_in_the_discount(
    bandit, time_aware
):
    """In the simulator of these users one in twenty leaves with each step, which is assumed."""
    data = policy_data(bandit, max_steps=4)
    log = data.log()
    log["next", "terminated"] = log["next", "done"] & (log[Key.USER] % 2 == 0).unsqueeze(1)
    data.log = lambda: log
    module, _ = fit(
        data, OfflinePolicyModule, 1, loss="iql", updates=1, discount=0.9, time_aware=time_aware
    )
    assert torch.equal(module.transitions["next", "terminated"], log["next", "terminated"])
    assert 0 < int(log["next", "terminated"].sum()) < int(log["next", "done"].sum())
    assert module.learner.discount == 0.9
    assert module.ground.continuation_probability == pytest.approx(0.95)


@pytest.mark.slow
@pytest.mark.parametrize("loss", one_a_family(["reward-weighted", "iql"], "iql"))
def test_a_learner_finds_the_best_arm_in_a_log_of_random_ones(bandit, loss):
    data = one_arm(bandit)
    world = data.playground(1500, 1.0, torch.device("cpu")).train
    log = world.step(world.rand_action(world.reset()))
    data.log = lambda: log
    how = {"updates": 40, "batch_size": 128, "learning_rate": 0.02, "tau": 0.1}
    _, trainer = fit(data, OfflinePolicyModule, 2, loss=loss, **how)
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


def test_transitions_over_several_steps_end_with_their_session(bandit):
    data = policy_data(bandit)
    how = {"loss": "bc", "updates": 2, "batch_size": 32, "n_step": 40, "discount": 0.5}
    module, _ = fit(data, OfflinePolicyModule, 0, **how)
    log, rows = data.log(), module.transitions
    reward, done = log["next", "reward"].squeeze(1), log["next", "done"].squeeze(1)
    assert log[Key.STEP].max() > 1
    total, later = torch.zeros(len(log)), 0.0
    for step in reversed(range(len(log))):
        later = reward[step] + (0.0 if done[step] else 0.5 * later)
        total[step] = later
    torch.testing.assert_close(rows["next", "reward"].squeeze(1), total)
    assert rows["next", "done"].all()
    assert torch.equal(rows["next", "terminated"][done], log["next", "terminated"][done])


def by_hand(reward, done, length, discount):
    """What one session's steps see ahead."""
    for start in range(len(reward)):
        over = next((step for step in range(start, len(done)) if done[step]), len(done) - 1)
        last = min(over, start + length - 1)
        ahead = enumerate(reward[start : last + 1])
        yield sum(discount**step * value for step, value in ahead), last


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 7), st.integers(1, 9))
def test_stretches_end_where_sessions_do(seed, rows, time, length):
    chance = torch.Generator().manual_seed(seed)
    reward = torch.randn(rows, time, 1, generator=chance, dtype=torch.float64)
    done = torch.rand(rows, time, 1, generator=chance) < 0.3
    ahead, steps, end = stretches(reward, done, length, 0.9)
    for row in range(rows):
        inputs = reward[row, :, 0].tolist(), done[row, :, 0].tolist()
        for step, (total, last) in enumerate(by_hand(*inputs, length, 0.9)):
            torch.testing.assert_close(float(ahead[row, step]), total)
            assert end[row, step] == last
            assert steps[row, step] == last - step + 1


@pytest.mark.parametrize("columns", [1, 8, 9, 200_001])
def test_masks_come_back_from_an_eighth_of_the_bytes(columns):
    mask = torch.rand(2, 3, columns) < 0.7
    packed = pack(mask)
    assert packed.shape == (2, 3, -(-columns // 8))
    assert packed.element_size() == 1
    assert torch.equal(unpack(packed, columns), mask)
