"""The k-core against a naive fixpoint, strongest-of-pairs against a loop, splits by promises."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.events import global_time, item_cold, k_core, leave_one_out, strongest_of_pairs
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def codes(events):
    array = np.array(events, dtype=np.int32).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def naive_core(events, k):
    keep = [True] * len(events)
    changed = True
    while changed:
        changed = False
        for row, (user, item) in enumerate(events):
            kept = [event for event, stays in zip(events, keep, strict=True) if stays]
            rare = min(sum(u == user for u, _ in kept), sum(i == item for _, i in kept)) < k
            if keep[row] and rare:
                keep[row], changed = False, True
    return keep


@given(events=pairs, k=st.integers(1, 4))
def test_k_core_is_the_naive_fixpoint(events, k):
    users, items = codes(events)
    keep = k_core(users, items, k)
    assert keep.tolist() == naive_core(events, k)
    for column in (users[keep], items[keep]):
        assert all(np.unique(column, return_counts=True)[1] >= k)


@given(events=pairs, data=st.data())
def test_strongest_of_pairs(events, data):
    strengths = [data.draw(st.integers(-2, 2)) for _ in events]
    best = {}
    for row, event in enumerate(events):
        if event not in best or strengths[row] > strengths[best[event]]:
            best[event] = row
    strongest = strongest_of_pairs(*codes(events), np.array(strengths, dtype=np.float32))
    assert np.flatnonzero(strongest).tolist() == sorted(best.values())


users_events = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8)


@given(targets=users_events)
def test_leave_one_out(targets):
    offsets = np.cumsum([0, *map(len, targets)])
    flat = np.array([t for user in targets for t in user])
    parts = leave_one_out(offsets, flat, flat)
    expected = {0: [], 1: [TRAIN], 2: [TRAIN, TEST]}
    for user, is_target in enumerate(targets):
        theirs = parts[offsets[user] : offsets[user + 1]]
        assert ((theirs == CONTEXT) == ~np.array(is_target)).all()
        count = sum(is_target)
        train = [TRAIN] * (count - 2)
        assert theirs[theirs != CONTEXT].tolist() == expected.get(count, [*train, VALIDATION, TEST])


@given(
    times=st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    validation=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
)
def test_global_time_is_ordered(times, validation, test):
    stamps = np.array(times)
    all_of_them = np.ones(len(times), bool)
    parts = global_time(stamps, all_of_them, all_of_them, validation, test)
    assert set(parts.tolist()) <= {TRAIN, VALIDATION, TEST}
    assert TRAIN in parts
    # The numbers of the parts are in their order in time, and one moment is in one part.
    assert (np.diff(parts[np.argsort(stamps, kind="stable")]) >= 0).all()
    for moment in set(times):
        assert len(set(parts[stamps == moment])) == 1


def test_global_time_takes_the_last_tenths():
    times = np.arange(101)
    parts = global_time(times, times != 95, times != 95, 0.1, 0.1)
    assert np.bincount(parts, minlength=4).tolist() == [81, 10, 9, 1]
    assert parts[[80, 81, 90, 91, 95]].tolist() == [TRAIN, VALIDATION, VALIDATION, TEST, CONTEXT]


def test_item_cold_keeps_all_events_of_some_items_out():
    generator = np.random.default_rng(0)
    offsets = np.array([0, 8, 16, 30])
    items = generator.integers(1, 21, 30).astype(np.int32)
    target = np.ones(30, bool)
    parts = item_cold(items, offsets, target, target, 0.2, seed=1)
    cold = np.unique(items[parts == COLD])
    assert len(cold) == int(len(np.unique(items)) * 0.2)
    assert (parts[np.isin(items, cold)] == COLD).all()
    warm = ~np.isin(items, cold)
    for begin, end in pairwise(offsets):
        kept = parts[begin:end][warm[begin:end]]
        assert kept[-2:].tolist() == [VALIDATION, TEST]
        assert (kept[:-2] == TRAIN).all()
    assert (item_cold(items, offsets, target, target, 0.2, seed=1) == parts).all()
    assert (item_cold(items, offsets, target, target, 0.2, seed=2) != parts).any()
