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


def test_laws_are_kept():
    found = slates.law(20_000)
    assert min(value for key, value in found.items() if key.endswith("/p")) > 0.001
    assert found["peaked/degrees_of_freedom"] < found["gentle/degrees_of_freedom"] <= 119
    for key, value in found.items():
        if key.endswith("relative_error"):
            assert value < (1e-6 if "float64" in key else 1e-5)
