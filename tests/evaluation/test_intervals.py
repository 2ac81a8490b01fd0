"""Intervals of means: known numbers, and how often they cover the truth."""

import math

import pytest
import torch

from lightrec.evaluation import intervals
from lightrec.evaluation.intervals import bootstrap_interval, mean_interval


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


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    # Eighty users with one to five events, whose values share the user's own level.
    generator = torch.Generator().manual_seed(0)
    covered, rounds = 0, 400
    for seed in range(rounds):
        users = torch.arange(80).repeat_interleave(torch.randint(1, 6, (80,), generator=generator))
        own = torch.randn(80, generator=generator)[users]
        values = 7 + own + torch.randn(len(users), generator=generator)
        found = bootstrap_interval(values, users, resamples=600, seed=seed)
        covered += found.low < 7 < found.high
    assert abs(covered / rounds - 0.95) < 0.03


def test_bootstrap_of_two_users_in_closed_form():
    # Drawn twice the first (1/4), once each (1/2), twice the second (1/4): 0, 3 / 3, 3 / 2.
    found = bootstrap_interval(torch.tensor([0.0, 1.5, 1.5]), torch.tensor([5, 2, 2]), 4000)
    assert found == (1, 0, 1.5)
    half = bootstrap_interval(torch.tensor([0.0, 1.5, 1.5]), torch.tensor([5, 2, 2]), level=0.4)
    assert half == (1, 1, 1)


def test_bootstrap_in_pieces_has_bounded_memory(monkeypatch):
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    whole = bootstrap_interval(values, torch.arange(50), 3000)
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", 500)
    pieces = bootstrap_interval(values, torch.arange(50), 3000)
    assert pieces.low == pytest.approx(whole.low, abs=0.03)
    assert pieces.high == pytest.approx(whole.high, abs=0.03)


def test_bootstrap_of_one_user_and_of_none():
    found = bootstrap_interval(torch.tensor([2.0, 4.0]), torch.tensor([1, 1]))
    assert found == (3, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval(torch.zeros(0), torch.zeros(0).long())
