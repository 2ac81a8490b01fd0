"""The reader of items' words against torch's own layers and loops over the paper's formulas."""

from functools import partial
from itertools import chain

import pytest
import torch
from torch import nn

from lightrec.errors import PluginError
from lightrec.nn.item_readers import SelfAttentionReader
from lightrec.nn.item_tower import ItemTower
from lightrec.ranking.ranker import Ranker

TOKENS = torch.tensor(
    [[[0] * 4] * 2, [[3, 1, 4, 1], [5, 0, 0, 0]], [[0] * 4, [2, 6, 0, 0]], [[0] * 4] * 2],
    dtype=torch.int32,
)
"""(N + 1, C, T): the third item says nothing."""


def tower(reader, use_ids=False, **settings):
    torch.manual_seed(0)
    made = ItemTower(3, 8, 0, use_ids, (2, 4, 7, 8), partial(reader, **settings)).eval()
    made.set_tokens(TOKENS)
    return made


def additive(pooling, vectors):
    """The weights of additive attention one by one: exp(q · tanh(V h + v)) over their sum."""
    (first, _, last), total, mass = pooling.score, 0.0, 0.0
    for vector in vectors:
        weight = (last.weight[0] @ torch.tanh(first.weight @ vector + first.bias)).exp()
        total, mass = total + weight * vector, mass + weight
    return total / mass


def said(item):
    return [[int(word) for word in column if word] for column in TOKENS[item]]


def test_nrms_by_torchs_own_attention():
    own = tower(SelfAttentionReader, heads=2, hidden=5)
    attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    attention.in_proj_weight.data = own.reader.attention_in.weight
    attention.out_proj.weight.data = torch.eye(8)
    found = own()
    for item in (1, 2):
        words = own.words[None, [*chain(*said(item))]]
        expected = additive(own.reader.pool, attention(words, words, words)[0][0])
        torch.testing.assert_close(found[item], expected, atol=1e-5, rtol=0)
    assert not found[[0, 3]].any()


def test_what_is_read():
    own, items = tower(SelfAttentionReader), torch.tensor([[2, 1], [1, 3]])
    assert torch.allclose(own(items), own()[items], atol=1e-6)
    longer = ItemTower(3, 8, 0, False, (2, 6, 7, 8)).eval()
    longer.load_state_dict(own.state_dict() | {"tokens": nn.functional.pad(TOKENS, (0, 2))})
    assert torch.allclose(longer(), own(), atol=1e-6)
    # In training the words of the items that are asked for learn, and no others.
    own.train()(torch.tensor([2, 2])).square().sum().backward()
    assert own.words.grad.any(dim=1).nonzero().flatten().tolist() == [2, 6]
    # What was read is kept while nothing is trained, and no longer.
    with torch.no_grad():
        before = own.eval()(items)
        own.words += 1
        assert torch.equal(own(items), before)
        assert not torch.allclose(own.train().eval()(items), before, atol=1e-3)


def test_next_to_ids_words_count_for_nothing_at_first_and_draw_after_them():
    beside = tower(SelfAttentionReader, use_ids=True)
    torch.manual_seed(0)
    assert torch.equal(beside(), ItemTower(3, 8, 0, True).ids)
    beside().sum().backward()
    assert beside.gain.grad.any()


def test_a_ranker_with_a_reader_saves_and_loads_itself(tmp_path):
    own = {
        "use_ids": False,
        "reader": partial(SelfAttentionReader, hidden=5),
    }
    ranker = Ranker(3, size=8, reading=(2, 4, 7, 8), **own).eval()
    ranker.items.set_tokens(TOKENS)
    ranker.save_pretrained(tmp_path)
    again, history = Ranker.from_pretrained(tmp_path), torch.tensor([[0, 1, 2]])
    assert torch.equal(again.scores(history), ranker.scores(history))
    assert str(again) == str(ranker)
    # Alone, an item that says nothing has no vector, one that nobody chose has one.
    assert ranker.item_vectors().any(1).tolist() == [False, True, True, False]


def test_what_cannot_be_built():
    with pytest.raises(PluginError, match=r"cannot be divided among 3 heads"):
        Ranker(3, size=8, reading=(2, 4, 7, 8), reader=partial(SelfAttentionReader, heads=3))
