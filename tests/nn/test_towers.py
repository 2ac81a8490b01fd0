"""The towers against loops and torch's own modules; what all share is in the contract tests."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lightrec.errors import PluginError
from lightrec.nn.towers import (
    GRU,
    AdditiveAttention,
    CausalTransformer,
    LigrBlock,
    LigrTransformer,
    MeanPooling,
    UserTower,
    rotary_angles,
    rotate,
    visible,
)
from lightrec.ranking.ranker import Ranker

PRESENT = torch.tensor([[False, False, True, True, True], [True] * 5])


class Mine(UserTower):
    """A tower of somebody's own, without dropout or layers."""

    def __init__(self, size, heads=1):
        super().__init__()
        self.heads, self.out = heads, nn.Linear(size, size)

    def forward(self, x, present):
        return self.out(x)


def test_pooling_by_hand():
    torch.manual_seed(0)
    tower = MeanPooling(6, heads=3, dropout=0.5).eval()
    x = torch.randn(2, 5, 6)
    found = tower(x, PRESENT)
    rates = tower.log_rate.exp().tolist()
    assert [math.log(2) / rate for rate in rates] == pytest.approx([1, 2**2.5, 32])
    for row in range(2):
        for last in range(5):
            if not PRESENT[row, last]:
                continue
            pooled = torch.zeros(6)
            for feature in range(6):
                total = mass = 0.0
                for step in range(last + 1):
                    if PRESENT[row, step]:
                        weight = math.exp(-rates[feature // 2] * (last - step))
                        total += weight * x[row, step, feature].item()
                        mass += weight
                pooled[feature] = total / mass
            assert torch.allclose(found[row, last], tower.out(pooled), atol=1e-5)


@pytest.mark.parametrize("heads", [0, 2])
def test_additive_attention_by_hand_over_torchs_own_self_attention(heads):
    """NAML's user encoder, and with heads NRMS's: exp(q · tanh(V h + v)) over their sum."""
    torch.manual_seed(0)
    tower, x = AdditiveAttention(8, heads=heads, hidden=5, dropout=0.5).eval(), torch.randn(2, 5, 8)
    found, (first, _, last) = tower(x, PRESENT), tower.pool.score
    for row, start in enumerate((2, 0)):
        items = x[row : row + 1, start:]
        if heads:
            attention = nn.MultiheadAttention(8, heads, bias=False, batch_first=True)
            attention.in_proj_weight.data = tower.attention_in.weight
            attention.out_proj.weight.data = torch.eye(8)
            later = torch.ones(items.shape[1], items.shape[1], dtype=torch.bool).triu(1)
            items = attention(items, items, items, attn_mask=later)[0]
        for step in range(items.shape[1]):
            total, mass = torch.zeros(8), 0.0
            for item in items[0, : step + 1]:
                weight = (last.weight[0] @ torch.tanh(first.weight @ item + first.bias)).exp()
                total, mass = total + weight * item, mass + weight
            torch.testing.assert_close(found[row, start + step], total / mass, atol=1e-5, rtol=0)


def test_gru_is_torchs_own_where_nothing_is_padded():
    torch.manual_seed(0)
    tower = GRU(6, layers=2, dropout=0.5).eval()
    x = torch.randn(2, 5, 6)
    found = tower(x, PRESENT)
    for row, start in enumerate((2, 0)):
        expected = tower.out(tower.recurrent(x[row : row + 1, start:])[0])
        assert torch.allclose(found[row, start:], expected[0], atol=1e-6)


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


def test_the_gate_follows_the_stream():
    torch.manual_seed(0)
    tower = LigrTransformer(8, layers=1, dropout=0.0)
    (block,) = tower.blocks
    x = torch.randn(1, 1, 8)
    present = torch.ones(1, 1, dtype=torch.bool)
    value = block.attention_out(block.attention_in(block.attention_norm(x))[..., 16:])
    middle = x + torch.sigmoid(block.attention_gate(x)) * value
    fed = block.feed(middle)
    expected = tower.norm(middle + torch.sigmoid(block.feedforward_gate(middle)) * fed)
    assert torch.allclose(tower(x, present), expected, atol=1e-6)


@pytest.mark.parametrize(
    "tower", [None, CausalTransformer, LigrTransformer, partial(GRU, layers=1), MeanPooling]
)
def test_a_saved_ranker_builds_its_tower_again(tower, tmp_path):
    ranker = Ranker(9, size=8, tower=tower).eval()
    ranker.save_pretrained(tmp_path)
    again = Ranker.from_pretrained(str(tmp_path)).eval()
    history = torch.tensor([[0, 0, 3, 9], [1, 2, 3, 4]])
    assert torch.equal(again.scores(history), ranker.scores(history))
    assert str(again.users) == str(ranker.users)


def test_a_tower_of_ones_own():
    ranker = Ranker(9, size=8, tower=partial(Mine, heads=4))
    assert isinstance(ranker.users, Mine)
    assert ranker.users.heads == 4
    with pytest.raises(PluginError, match=r"Ranker of .* could not build its user tower.*'colour'"):
        Ranker(9, size=8, tower=partial(Mine, colour="red"))


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="divided into 3 groups"):
        MeanPooling(8, heads=3)
    with pytest.raises(ValueError, match="divided among 3 heads"):
        AdditiveAttention(8, heads=3)
    with pytest.raises(ValueError, match="cannot have 0 layers"):
        GRU(8, layers=0)


def test_weights_of_the_first_release_still_fit():
    names = set(Ranker(9, size=8, tower=partial(CausalTransformer, layers=1)).state_dict())
    assert {n for n in names if n.startswith("users.")} == {
        "users.blocks.0.attention_norm.weight",
        "users.blocks.0.attention_in.weight",
        "users.blocks.0.attention_out.weight",
        "users.blocks.0.feedforward.0.weight",
        "users.blocks.0.feedforward.1.weight",
        "users.blocks.0.feedforward.1.bias",
        "users.blocks.0.feedforward.3.weight",
        "users.blocks.0.feedforward.3.bias",
        "users.norm.weight",
    }


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    angles = rotary_angles(10, 8, torch.device("cpu"))
    queries, keys = rotate(query.expand(10, 8), angles), rotate(key.expand(10, 8), angles)
    products = queries @ keys.T
    assert torch.allclose(products.diagonal(3), products[0, 3].expand(7), atol=1e-5)
    # Distance 1 in the first pair of features turns by one radian.
    unit = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    turned = rotate(unit.expand(2, 8), angles[:, :2])[1]
    assert turned[[0, 4]].tolist() == pytest.approx([0.540302, 0.841471], abs=1e-5)


def test_gradients_are_finite_under_padding():
    torch.manual_seed(0)
    transformer = CausalTransformer(size=16, layers=2, heads=2, dropout=0.5).eval()
    x = torch.randn(2, 4, 16, requires_grad=True)
    present = torch.tensor([[False, False, False, False], [False, True, True, True]])
    transformer(x, present)[1, 1:].sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad[0].abs().sum() == 0


def test_heads_must_fit():
    with pytest.raises(ValueError, match="multiple of 6"):
        CausalTransformer(size=16, layers=1, heads=3)
