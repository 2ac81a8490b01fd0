"""Identifiers differ, and new items get theirs and come in place of those that they read like."""

import pytest
import torch
from lightrec_generate.generator import LEAST
from lightrec_generate.identifiers import Identifiers, encode, kmeans, reassigned
from lightrec_generate.parallel import ParallelGenerator
from lightrec_generate.tree import TreeGenerator, Trie

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


NEW = 3, 17, 20, 25
HISTORIES = torch.tensor([[0, 0, 0], [0, 0, 9], [3, 6, 7], [0, 5, 8], [12, 1, 20]])


@pytest.mark.parametrize("kind", [TreeGenerator, ParallelGenerator])
def test_the_law_is_that_of_what_is_replaced(tiny_generator, kind):
    made, share = tiny_generator(kind, new=(*NEW, 5)), 4.0 * 4 / (4.0 * 4 + 35)
    law = made.log_probabilities(made.user_vectors(HISTORIES)).double()
    torch.testing.assert_close(law.exp().sum(1), torch.ones(5).double(), atol=1e-5, rtol=0)
    made = tiny_generator(kind, new=(*NEW, 5), fresh=0.0)
    alone = made.log_probabilities(made.user_vectors(HISTORIES)).double().exp()
    words = made.identifiers.vectors[:, :6].double()
    old = [item for item in range(1, ITEMS + 1) if item not in (*NEW, 5)]
    near = {
        i: {j: (10 * torch.cosine_similarity(words[i], words[j], 0)).exp() for j in NEW}
        for i in old
    }
    totals = {j: sum(near[i][j] for i in old) for j in NEW}
    chance = {i: {j: near[i][j] / totals[j] for j in NEW} for i in old}
    chance = {i: {j: c / sum(each.values()) for j, c in each.items()} for i, each in chance.items()}
    for row, history in enumerate(HISTORIES.tolist()):
        ages = {item: 0.5**age for age, item in enumerate(reversed(history)) if item in old}
        replaced = {i: alone[row, i] * (0.8 if ages else 1.0) for i in old}
        for item, weight in ages.items():
            replaced[item] += 0.2 * weight / sum(ages.values())
        for j in NEW:
            expected = share * sum(replaced[i] * chance[i][j] for i in old)
            torch.testing.assert_close(law[row, j].exp(), expected, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(law[row, old].exp(), (1 - share) * alone[row, old])
    assert (law[:, 5] <= LEAST).all()  # neither chosen nor described


@pytest.mark.parametrize("kind", [TreeGenerator, ParallelGenerator])
def test_new_items_are_written_without_training(tiny_generator, kind):
    made = tiny_generator(kind)
    words = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    grown = made.with_items(words)
    before, law = (each.log_probabilities(each.user_vectors(HISTORIES)) for each in (made, grown))
    assert law.shape == (len(HISTORIES), ITEMS + 6)
    torch.testing.assert_close(law.exp().sum(1), torch.ones(len(HISTORIES)))
    assert (law[:, ITEMS + 1 :] > LEAST).all()
    # The others' odds do not depend on who else is there. Item 5 has no words, and stays.
    old = [item for item in range(1, ITEMS + 1) if item != 5]
    torch.testing.assert_close(law[:, old].log_softmax(1), before[:, old].log_softmax(1))
    assert made.newcomers is None
    assert grown.newcomers.items.tolist() == [*range(ITEMS + 1, ITEMS + 6)]
