"""Intervals of means: known numbers, and how often they cover the truth."""

import math

import torch

from lightrec.evaluation.intervals import mean_interval


def test_known_numbers():
    # Mean 3, standard deviation sqrt(2.5), t(.975, 4) = 2.7764.
    found = mean_interval(torch.tensor([1.0, 2, 3, 4, 5]))
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert found.mean == 3
    assert math.isclose(found.low, 3 - half, rel_tol=1e-6)
    assert math.isclose(found.high, 3 + half, rel_tol=1e-6)


def test_covers_the_mean_as_often_as_it_says():
    draws = torch.randn(2000, 12, generator=torch.Generator().manual_seed(0)) + 7
    covered = sum(i.low < 7 < i.high for i in map(mean_interval, draws)) / 2000
    assert abs(covered - 0.95) < 0.015


def test_one_user_tells_nothing():
    assert mean_interval(torch.tensor([2.0])) == (2.0, -math.inf, math.inf)
