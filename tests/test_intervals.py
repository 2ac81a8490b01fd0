"""Intervals of means: known numbers, and how often they cover the truth."""

import math

import pytest
import torch

from lightrec import intervals
from lightrec.intervals import bootstrap_interval, mean_interval, ratio_interval, standard_error


def test_known_numbers():
    # Mean 3, standard deviation sqrt(2.5), t(.975, 4) = 2.7764.
    interval = mean_interval(torch.tensor([1.0, 2, 3, 4, 5]))
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert interval.mean == 3
    assert math.isclose(interval.low, 3 - half, rel_tol=1e-6)
    assert math.isclose(interval.high, 3 + half, rel_tol=1e-6)


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    # Eighty users with one to five events, whose values share the user's own level.
    generator = torch.Generator().manual_seed(0)
    covered, rounds = 0, 400
    for seed in range(rounds):
        users = torch.arange(80).repeat_interleave(torch.randint(1, 6, (80,), generator=generator))
        level = torch.randn(80, generator=generator)[users]
        values = 7 + level + torch.randn(len(users), generator=generator)
        interval = bootstrap_interval(values, users, resamples=600, seed=seed)
        covered += interval.low < 7 < interval.high
    assert abs(covered / rounds - 0.95) < 0.03


def test_bootstrap_of_two_users_in_closed_form(monkeypatch):
    # Drawn twice the first (1/4), once each (1/2), twice the second (1/4): 0, 3 / 3, 3 / 2.
    interval = bootstrap_interval(torch.tensor([0.0, 1.5, 1.5]), torch.tensor([5, 2, 2]), 4000)
    assert interval == (1, 0, 1.5)
    monkeypatch.setattr(intervals, "LEVEL", 0.4)
    half = bootstrap_interval(torch.tensor([0.0, 1.5, 1.5]), torch.tensor([5, 2, 2]))
    assert half == (1, 1, 1)


def test_a_ratio_has_the_values_that_a_t_test_does_not_refuse():
    generator = torch.Generator().manual_seed(2)
    below = torch.randn(30, generator=generator) + 2
    above = 0.5 * below + torch.randn(30, generator=generator)
    interval = ratio_interval(above, below, paired=True)
    assert interval.mean == pytest.approx(float(above.mean() / below.mean()), rel=1e-6)
    for end in (interval.low, interval.high):
        edge = mean_interval(above.double() - end * below.double())
        assert min(abs(edge.low), abs(edge.high)) < 1e-6
    assert ratio_interval(above, below - below.mean(), paired=True) is None
    assert ratio_interval(above[:1], below[:1], paired=True) is None


def test_refits_and_users_by_hand():
    # Users (1, 3, 5) in refit one, (3, 3, 3) in refit two. Means: users 2, 3, 4; refits 3, 3.
    error, freedom = standard_error(torch.tensor([[1.0, 3, 5], [3, 3, 3]]))
    assert error == pytest.approx(math.sqrt(1 / 3))
    assert freedom == 2
    # Refits that differ by 2 for everybody: variances 1 of three users, 2 of two refits.
    error, freedom = standard_error(torch.tensor([[1.0, 2, 3], [3, 4, 5]]))
    assert error == pytest.approx(math.sqrt(1 / 3 + 1.5 * 2))
    assert freedom == pytest.approx((1 / 3 + 3) ** 2 / ((1 / 3) ** 2 / 2 + 3**2 / 1))


@pytest.mark.parametrize("refits", [3, 10])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.5])
def test_covers_the_truth_as_often_as_it_says_however_many_refits(refits, spread):
    # The fit to the whole sample is off by as much as refits differ from it; there are 60 users,
    # with a part of each user in each refit.
    generator = torch.Generator().manual_seed(refits)
    covered, rounds = 0, 800
    for _ in range(rounds):
        level = spread * torch.randn(1, 1, generator=generator)
        refit = level + spread * torch.randn(refits, 1, generator=generator)
        user = torch.randn(1, 60, generator=generator)
        values = 7 + refit + user + 0.5 * torch.randn(refits, 60, generator=generator)
        interval = mean_interval(values)
        covered += interval.low < 7 < interval.high
    assert covered / rounds > 0.925
