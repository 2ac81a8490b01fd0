"""User towers against loops and torch's own modules; what all share is in the contract tests."""

import math

import pytest
import torch
from lightrec_lab.towers import GRU, MeanPooling

PRESENT = torch.tensor([[False, False, True, True, True], [True] * 5])


def test_pooling_by_hand():
    tower, x = MeanPooling(6, heads=3, dropout=0.5).eval(), torch.randn(2, 5, 6)
    states = tower(x, PRESENT)
    rates = tower.log_rate.exp().tolist()
    assert [math.log(2) / rate for rate in rates] == pytest.approx([1, 2**2.5, 32])
    for row, last in PRESENT.nonzero().tolist():
        steps = torch.tensor([step for step in range(last + 1) if PRESENT[row, step]])
        weights = (-(last - steps)[:, None] * torch.tensor(rates).repeat_interleave(2)).exp()
        pooled = (weights * x[row, steps]).sum(0) / weights.sum(0)
        assert torch.allclose(states[row, last], tower.out(pooled), atol=1e-5)


def test_gru_is_torchs_own_where_nothing_is_padded():
    tower, x = GRU(6, layers=2, dropout=0.5).eval(), torch.randn(2, 5, 6)
    states = tower(x, PRESENT)
    for row, start in enumerate((2, 0)):
        expected = tower.out(tower.recurrent(x[row : row + 1, start:])[0])
        assert torch.allclose(states[row, start:], expected[0], atol=1e-6)
