"""The trie knows what goes on where, and its softmaxes are those of siblings."""

import pytest
import torch
from lightrec_generate.trie import Trie


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
