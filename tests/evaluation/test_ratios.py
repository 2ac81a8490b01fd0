"""Ratios of paired means against the test that defines their interval, and against simulation."""

import pytest
import torch
from scipy.stats import t as student

from lightrec.evaluation.ratios import ratio_interval


def pairs(count, whole_mean=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    whole = whole_mean + torch.randn(count, generator=generator)
    return 0.4 * whole + 0.5 * torch.randn(count, generator=generator), whole


def test_at_its_ends_the_difference_is_just_clearly_not_0():
    part, whole = pairs(40)
    found = ratio_interval(part, whole, 0.9)
    assert found.mean == pytest.approx(float(part.double().mean() / whole.double().mean()))
    for end in (found.low, found.high):
        rest = part.double() - end * whole.double()
        statistic = float(rest.mean() / (rest.std() / 40**0.5))
        assert abs(statistic) == pytest.approx(student.ppf(0.95, 39), rel=1e-6)
    assert found.low < found.mean < found.high


def test_it_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(1000):
        found = ratio_interval(*pairs(30, seed=seed), 0.9)
        covered += found.low <= 0.4 <= found.high
    assert covered / 1000 == pytest.approx(0.9, abs=0.03)


def test_what_is_the_same_everywhere_has_no_doubt():
    whole = torch.tensor([1.0, 2.0, 3.0, 4.0, 2.5])
    assert ratio_interval(0.5 * whole, whole) == pytest.approx((0.5, 0.5, 0.5))


def test_nothing_is_said_of_parts_of_nothing():
    assert ratio_interval(*pairs(40, whole_mean=0.0)) is None
    assert ratio_interval(torch.ones(1), torch.ones(1)) is None
