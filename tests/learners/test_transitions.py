"""Transitions over several steps against a loop, and masks in bits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.learners.transitions import pack, stretches, unpack


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
    torch.manual_seed(0)
    mask = torch.rand(2, 3, columns) < 0.7
    packed = pack(mask)
    assert packed.shape == (2, 3, -(-columns // 8))
    assert packed.element_size() == 1
    assert torch.equal(unpack(packed, columns), mask)
