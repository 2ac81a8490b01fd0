"""Measures that have an arithmetic of their own, and one that a test holds to its result."""

import pytest
import torch

from benchmarks.measure import slates
from benchmarks.measure.softmax_step import step
from tests.processes import apart


def test_the_textbooks_way_to_draw_slates_has_the_right_probability():
    torch.manual_seed(0)
    scores = torch.randn(3, 50)
    columns, found = slates.gumbel(scores)
    wanted = [slates.ordered(*row) for row in zip(scores.double(), columns.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.slow
def test_a_step_over_many_items_adds_little_memory():
    """The logits of the 500 targets alone would take 0.37 GiB."""
    (found,) = apart(step, (200_000, 64, 10))
    assert found["held_gib"] == pytest.approx(4 * 200_001 * 65 * 4 / 2**30, rel=0.01)
    assert found["added_gib"] < 0.3
