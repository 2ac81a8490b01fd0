"""The benchmark of slates: its own arithmetic."""

import pytest
import torch

from benchmarks.measure import slates


def test_the_textbooks_way_has_the_right_probability():
    torch.manual_seed(0)
    scores = torch.randn(3, 50)
    columns, found = slates.gumbel(scores)
    wanted = [slates.ordered(*row) for row in zip(scores.double(), columns.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
