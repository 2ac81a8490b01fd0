"""User towers against loops and torch's own modules; what all share is in the contract tests."""

import math

import pytest
import torch
from lightrec_lab.towers import GRU, LigrBlock, MeanPooling
from torch import nn

from lightrec.nn.towers import rotary_angles, visible

PRESENT = torch.tensor([[False, False, True, True, True], [True] * 5])


def test_pooling_by_hand():
    torch.manual_seed(0)
    tower = MeanPooling(6, heads=3, dropout=0.5).eval()
    x = torch.randn(2, 5, 6)
    states = tower(x, PRESENT)
    rates = tower.log_rate.exp().tolist()
    assert [math.log(2) / rate for rate in rates] == pytest.approx([1, 2**2.5, 32])
    for row, last in PRESENT.nonzero().tolist():
        steps = torch.tensor([step for step in range(last + 1) if PRESENT[row, step]])
        weights = (-(last - steps)[:, None] * torch.tensor(rates).repeat_interleave(2)).exp()
        pooled = (weights * x[row, steps]).sum(0) / weights.sum(0)
        assert torch.allclose(states[row, last], tower.out(pooled), atol=1e-5)


def test_gru_is_torchs_own_where_nothing_is_padded():
    torch.manual_seed(0)
    tower = GRU(6, layers=2, dropout=0.5).eval()
    x = torch.randn(2, 5, 6)
    states = tower(x, PRESENT)
    for row, start in enumerate((2, 0)):
        expected = tower.out(tower.recurrent(x[row : row + 1, start:])[0])
        assert torch.allclose(states[row, start:], expected[0], atol=1e-6)


def test_swiglu_by_hand():
    torch.manual_seed(0)
    layer, x = LigrBlock(4, heads=2, feedforward=2, dropout=0.0), torch.randn(4)
    entered = (layer.enter.weight @ (x / x.square().mean().sqrt())).tolist()
    inner = [g / (1 + math.exp(-g)) * v for g, v in zip(entered[:8], entered[8:], strict=True)]
    assert torch.allclose(layer.feed(x), layer.leave.weight @ torch.tensor(inner), atol=1e-6)


def test_gates_of_a_ligr_layer():
    """Shut gates pass the stream on; open ones make the plain pre-norm layer, halves half of it."""
    torch.manual_seed(0)
    block = LigrBlock(8, heads=2, feedforward=2, dropout=0.0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, present = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    seen, angles = visible(present), rotary_angles(5, 4, x.device)

    def with_gates(attention, feedforward):
        for gate, bias in (
            (block.attention_gate, attention),
            (block.feedforward_gate, feedforward),
        ):
            nn.init.zeros_(gate.weight)
            nn.init.constant_(gate.bias, bias)
        return block(x, seen, angles)

    shut, open_ = -200.0, 200.0
    assert torch.allclose(with_gates(shut, shut), x, atol=1e-6)
    fed = block.feed(x)
    assert torch.allclose(with_gates(shut, open_) - x, fed, atol=1e-5)
    assert torch.allclose(with_gates(shut, 0.0) - x, fed / 2, atol=1e-5)
    # Attention of the first position is its own value, whatever the positions.
    value = block.attention_in(block.attention_norm(x[:, 0]))[:, 16:]
    added = with_gates(open_, shut)[:, 0] - x[:, 0]
    assert torch.allclose(added, block.attention_out(value), atol=1e-5)
