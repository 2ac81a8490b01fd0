"""Measures that have an arithmetic of their own, and one that a test holds to its result."""

import pytest

from benchmarks.measure.softmax_step import step
from tests.processes import apart


@pytest.mark.slow
def test_a_step_over_many_items_adds_little_memory():
    """The logits of the 500 targets alone would take 0.37 GiB."""
    (found,) = apart(step, (200_000, 64, 10))
    assert found["held_gib"] == pytest.approx(4 * 200_001 * 65 * 4 / 2**30, rel=0.01)
    assert found["added_gib"] < 0.3
