"""Splits are partitions in time order, with the sizes that they promise."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.events import global_time, item_cold, leave_one_out
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION

users_events = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8)


@given(targets=users_events)
def test_leave_one_out(targets: list[list[bool]]) -> None:
    offsets = np.cumsum([0, *map(len, targets)])
    parts = leave_one_out(offsets, np.array([t for user in targets for t in user]))
    expected = {0: [], 1: [TRAIN], 2: [TRAIN, TEST]}
    for user, is_target in enumerate(targets):
        own = parts[offsets[user] : offsets[user + 1]]
        assert ((own == CONTEXT) == ~np.array(is_target)).all()
        count = sum(is_target)
        train = [TRAIN] * (count - 2)
        assert own[own != CONTEXT].tolist() == expected.get(count, [*train, VALIDATION, TEST])


@given(
    times=st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    validation=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
)
def test_global_time_is_ordered(times: list[int], validation: float, test: float) -> None:
    stamps = np.array(times)
    parts = global_time(stamps, np.ones(len(times), bool), validation, test)
    assert set(parts.tolist()) <= {TRAIN, VALIDATION, TEST}
    assert TRAIN in parts
    # The numbers of the parts are in their order in time, and one moment is in one part.
    order = np.argsort(stamps, kind="stable")
    assert (np.diff(parts[order]) >= 0).all()
    for moment in set(times):
        assert len(set(parts[stamps == moment])) == 1


def test_global_time_takes_the_last_tenths() -> None:
    times = np.arange(101)
    parts = global_time(times, times != 95, 0.1, 0.1)
    assert np.bincount(parts, minlength=4).tolist() == [81, 10, 9, 1]
    assert parts[[80, 81, 90, 91, 95]].tolist() == [TRAIN, VALIDATION, VALIDATION, TEST, CONTEXT]


def test_item_cold_keeps_all_events_of_some_items_out():
    generator = np.random.default_rng(0)
    offsets = np.array([0, 8, 16, 30])
    items = generator.integers(1, 21, 30).astype(np.int32)
    target = np.ones(30, bool)
    parts = item_cold(items, offsets, target, 0.2, seed=1)
    cold = np.unique(items[parts == COLD])
    assert len(cold) == int(len(np.unique(items)) * 0.2)
    assert (parts[np.isin(items, cold)] == COLD).all()
    warm = ~np.isin(items, cold)
    for begin, end in pairwise(offsets):
        own = parts[begin:end][warm[begin:end]]
        assert own[-2:].tolist() == [VALIDATION, TEST]
        assert (own[:-2] == TRAIN).all()
    assert (item_cold(items, offsets, target, 0.2, seed=1) == parts).all()
    assert (item_cold(items, offsets, target, 0.2, seed=2) != parts).any()
