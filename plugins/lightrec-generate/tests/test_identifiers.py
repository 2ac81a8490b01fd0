"""Identifiers differ, new items get theirs, and the trie knows what goes on where."""

import pytest
import torch
from lightrec_generate.identifiers import Identifiers, encode, kmeans, reassigned
from lightrec_generate.tree import Trie

from lightrec.errors import DataError

ITEMS = 40


@pytest.mark.parametrize("kind", ["residual", "product"])
def test_no_two_items_share_digits(kind, tiny_identifiers):
    codes = tiny_identifiers(kind).codes[1:]
    assert len(codes.unique(dim=0)) == ITEMS
    assert codes.min() >= 0
    assert codes.max() < 8
    assert torch.equal(codes, tiny_identifiers(kind).codes[1:])


def test_collisions_end_at_the_nearest_free_digit():
    codes = torch.tensor([[0, 1], [0, 1], [0, 1], [1, 1], [0, 2]])
    apart = torch.tensor([[3.0, 2, 4, 9], [9, 1, 3, 2], [5, 3, 4, 1.5], [0, 0, 0, 0], [7, 8, 0, 6]])
    # Row 4 is nearest to its codeword and keeps 2, row 1 keeps 1. Row 0 comes next, and of the free
    # ones 0 is nearest to it; row 2 has 3 left. Row 3 has another first digit.
    free = torch.zeros(0, 2, dtype=torch.int64)
    changed = reassigned(codes, apart, free)
    assert changed.tolist() == [[0, 0], [0, 1], [0, 3], [1, 1], [0, 2]]
    # With 0 taken, nothing is left for row 2.
    assert reassigned(codes, apart, torch.tensor([[0, 0]]))[:, 1].tolist() == [3, 1, -1, 1, 2]


def test_where_no_last_digit_is_free_the_one_before_gives_way():
    # Twenty equal items and eight last digits.
    words = torch.zeros(65, 2)
    words[1:21] = torch.tensor([1.0, 0])
    words[21:] = torch.randn(44, 2, generator=torch.Generator().manual_seed(0))
    codes = Identifiers(64, 2, 2, 3, 8).fit(words, words).codes[1:]
    assert len(codes.unique(dim=0)) == 64
    assert len(codes[:20, :2].unique(dim=0)) == 3
    with pytest.raises(DataError, match="more digits"):
        Identifiers(64, 2, 2, 2, 4).fit(words, words)


def test_words_alone_say_where_an_item_that_nobody_chose_stands(tmp_path):
    generator = torch.Generator().manual_seed(0)
    fields, chosen = torch.randn(8, 5, generator=generator), torch.randn(8, 7, generator=generator)
    field = torch.arange(200) % 8
    words = fields[field] + 0.05 * torch.randn(200, 5, generator=generator)
    chosen = chosen[field] + 0.05 * torch.randn(200, 7, generator=generator)
    first = torch.zeros(1, 5), torch.zeros(1, 7)
    made = Identifiers(200, 5, 7, 3, 8).fit(
        torch.cat([first[0], words]), torch.cat([first[1], chosen])
    )
    grown = made.with_items(words[:24])
    assert torch.equal(grown.codes[201:, 0], made.codes[1:25, 0])
    assert torch.equal(grown.codes[:201], made.codes)
    assert len(grown.codes[1:].unique(dim=0)) == grown.num_items == 224
    made.save_pretrained(tmp_path)
    assert torch.equal(Identifiers.load(tmp_path).codes, made.codes)


def test_kmeans_finds_clusters_that_lie_apart():
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.eye(4)
    points = centres.repeat(25, 1) + 0.1 * torch.randn(100, 4, generator=generator)
    books = kmeans(points, 4, generator)
    assert (books[(torch.cdist(centres, books)).argmin(1)] - centres).abs().max() < 0.1
    more = kmeans(points[:3], 5, generator)
    assert encode(points[:3], more[None]).unique().numel() == 3


def test_children_are_what_goes_on():
    generator = torch.Generator().manual_seed(0)
    whole = torch.cartesian_prod(*[torch.arange(5)] * 3)
    codes = whole[torch.randperm(125, generator=generator)[:60]]
    trie = Trie(torch.cat([codes[:1], codes]), torch.arange(1, 61))
    prefixes = [()]
    for depth, level in enumerate(trie.levels):
        listed, there = trie.children(depth, torch.arange(len(prefixes)))
        below = []
        for number, prefix in enumerate(prefixes):
            digits = level.digits[listed[number][there[number]]].tolist()
            following = codes[(codes[:, :depth] == torch.tensor(prefix).long()).all(1), depth]
            assert digits == following.unique().tolist()
            below += [(*prefix, digit) for digit in digits]
        prefixes = below
    order = [tuple(row) for row in codes[trie.items - 1].tolist()]
    assert prefixes == order == sorted(order)
    assert torch.equal(trie.items[trie.place[1:]], torch.arange(1, 61))


def test_two_items_with_the_same_digits_are_refused():
    with pytest.raises(ValueError, match="same digits"):
        Trie(torch.tensor([[0, 0], [1, 2], [0, 3], [1, 2]]), torch.arange(1, 4))
