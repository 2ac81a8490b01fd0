"""Stretches of sessions, against a loop over each step by itself."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.learners.multi_step import shown_on_the_way, stretches


def by_hand(reward, done, columns, length, discount):
    """What one session's steps see ahead."""
    found = []
    for start in range(len(reward)):
        total, shown, last = 0.0, [], start
        for ahead in range(length):
            step = start + ahead
            if step >= len(reward):
                break
            total += discount**ahead * reward[step]
            shown += columns[step]
            last = step
            if done[step]:
                break
        found.append((total, last, shown))
    return found


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 3),
    time=st.integers(1, 7),
    length=st.integers(1, 9),
    places=st.integers(1, 3),
)
def test_stretches_end_where_sessions_do(seed, rows, time, length, places):
    chance = torch.Generator().manual_seed(seed)
    reward = torch.randn(rows, time, 1, generator=chance, dtype=torch.float64)
    done = torch.rand(rows, time, 1, generator=chance) < 0.3
    columns = torch.randint(-1, 20, (rows, time, places), generator=chance)
    stretch = stretches(reward, done, length, 0.9)
    shown = shown_on_the_way(columns, stretch, length)
    assert shown.shape == (rows, time, length * places)
    for row in range(rows):
        inputs = reward[row, :, 0].tolist(), done[row, :, 0].tolist(), columns[row].tolist()
        for step, (total, last, on_the_way) in enumerate(by_hand(*inputs, length, 0.9)):
            torch.testing.assert_close(float(stretch.reward[row, step]), total)
            assert stretch.last[row, step] == last
            assert stretch.steps[row, step] == last - step + 1
            padded = on_the_way + [-1] * (length * places - len(on_the_way))
            assert shown[row, step].tolist() == padded
