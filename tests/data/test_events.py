"""The k-core against a naive fixpoint, and strongest-of-pairs against a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.events import k_core, strongest_of_pairs

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def codes(events: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(events, dtype=np.int32).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def naive_core(events: list[tuple[int, int]], k: int) -> list[bool]:
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
def test_k_core_is_the_naive_fixpoint(events: list[tuple[int, int]], k: int) -> None:
    users, items = codes(events)
    keep = k_core(users, items, k)
    assert keep.tolist() == naive_core(events, k)
    for column in (users[keep], items[keep]):
        assert all(np.unique(column, return_counts=True)[1] >= k)


@pytest.mark.parametrize(("k", "kept"), [(2, 4), (3, 0)])
def test_k_core_goes_on_until_nothing_changes(k: int, kept: int) -> None:
    # A square of two users and two items, with a chain hanging from it.
    events = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3)]
    assert k_core(*codes(events), k).sum() == kept


@given(events=pairs, data=st.data())
def test_strongest_of_pairs(events: list[tuple[int, int]], data: st.DataObject) -> None:
    strengths = [data.draw(st.integers(-2, 2)) for _ in events]
    best: dict[tuple[int, int], int] = {}
    for row, event in enumerate(events):
        if event not in best or strengths[row] > strengths[best[event]]:
            best[event] = row
    found = strongest_of_pairs(*codes(events), np.array(strengths, dtype=np.float32))
    assert np.flatnonzero(found).tolist() == sorted(best.values())
