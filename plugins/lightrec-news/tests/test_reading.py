"""NAML's reader and both papers' user encoder against torch's own layers and loops."""

from functools import partial

import pytest
import torch
from lightrec_news.reading import AdditiveAttention, ConvolutionReader, SelfAttentionReader
from torch import nn

from lightrec.errors import PluginError
from lightrec.nn.item_tower import ItemTower
from lightrec.ranking.ranker import Ranker

PRESENT = torch.tensor([[False, False, True, True, True], [True] * 5])
TOKENS = torch.tensor(
    [[[0] * 4] * 2, [[3, 1, 4, 1], [5, 0, 0, 0]], [[0] * 4, [2, 6, 0, 0]], [[0] * 4] * 2],
    dtype=torch.int32,
)
"""(N + 1, C, T): the third item says nothing."""


def additive(pooling, vectors):
    """The weights of additive attention one by one: exp(q · tanh(V h + v)) over their sum."""
    (first, _, last), total, mass = pooling.score, 0.0, 0.0
    for vector in vectors:
        weight = (last.weight[0] @ torch.tanh(first.weight @ vector + first.bias)).exp()
        total, mass = total + weight * vector, mass + weight
    return total / mass


def attention_of(part, heads=2):
    """Torch's own attention with a part's projections."""
    attention = nn.MultiheadAttention(8, heads, bias=False, batch_first=True)
    attention.in_proj_weight.data = part.attention_in.weight
    attention.out_proj.weight.data = torch.eye(8)
    return attention


def test_nrms_by_torchs_own_attention():
    reader = partial(SelfAttentionReader, heads=2, hidden=5)
    tower = ItemTower(3, 8, 0, False, (2, 4, 7, 8), reader).eval()
    tower.set_tokens(TOKENS)
    vectors, attention = tower(), attention_of(tower.reader)
    for item in (1, 2):
        words = tower.words[None, TOKENS[item][TOKENS[item] > 0].long()]
        expected = additive(tower.reader.pool, attention(words, words, words)[0][0])
        torch.testing.assert_close(vectors[item], expected, atol=1e-5, rtol=0)
    assert not vectors[[0, 3]].any()


def test_what_cannot_be_built():
    with pytest.raises(PluginError, match=r"cannot be divided among 3 heads"):
        Ranker(3, size=8, reading=(2, 4, 7, 8), reader=partial(SelfAttentionReader, heads=3))


def test_naml_by_torchs_own_convolution():
    torch.manual_seed(0)
    reader, words = ConvolutionReader(8, 8, 2, hidden=5).eval(), torch.randn(7, 8)
    vectors = reader(words, [TOKENS[:, 0], TOKENS[:, 1]])
    for item in (1, 2):
        views = []
        for column, numbers in enumerate(TOKENS[item]):
            if (numbers := numbers[numbers > 0]).any():
                kernel = reader.filters[column].weight.view(3, 8, 8).permute(1, 2, 0)
                text, bias = words[numbers].T[None], reader.bias[column]
                states = nn.functional.conv1d(text, kernel, bias, padding=1)[0].T.relu()
                views.append(additive(reader.pools[column], states))
        expected = additive(reader.pool, views)
        torch.testing.assert_close(vectors[item], expected, atol=1e-5, rtol=0)
    assert not vectors[[0, 3]].any()


@pytest.mark.parametrize("heads", [0, 2])
def test_additive_attention_by_hand_over_torchs_own_self_attention(heads):
    """NAML's user encoder, and with heads NRMS's: exp(q · tanh(V h + v)) over their sum."""
    torch.manual_seed(0)
    tower, x = AdditiveAttention(8, heads=heads, hidden=5, dropout=0.5).eval(), torch.randn(2, 5, 8)
    states = tower(x, PRESENT)
    for row, start in enumerate((2, 0)):
        items = x[row : row + 1, start:]
        if heads:
            later = torch.ones(items.shape[1], items.shape[1], dtype=torch.bool).triu(1)
            items = attention_of(tower, heads)(items, items, items, attn_mask=later)[0]
        for step in range(items.shape[1]):
            expected = additive(tower.pool, items[0, : step + 1])
            torch.testing.assert_close(states[row, start + step], expected, atol=1e-5, rtol=0)
