"""Intervals of functions of several means, against those of one."""

import math

import pytest
import torch
from lightrec_audit.means import function_interval

from lightrec.intervals import mean_interval


def test_a_function_of_means_has_the_interval_of_its_linear_part():
    generator = torch.Generator().manual_seed(1)
    users = torch.randn(400, 2, generator=generator) * 0.1 + torch.tensor([3.0, 2.0])
    # A linear function: what Student's interval of the users' own values says.
    plain = mean_interval(2 * users[:, 0] - users[:, 1])
    assert function_interval(lambda m: 2 * m[0] - m[1], users) == pytest.approx(plain, rel=1e-6)
    # A ratio: (x - r y) / mean y is its linear part.
    x, y = users.double().T
    ratio = x.mean() / y.mean()
    linear = mean_interval(ratio + (x - ratio * y) / y.mean())
    assert function_interval(lambda m: m[0] / m[1], users) == pytest.approx(linear, rel=1e-9)
    alone = function_interval(lambda m: m[0] / m[1], users[:1])
    assert alone == (pytest.approx(float(users[0, 0] / users[0, 1])), -math.inf, math.inf)
