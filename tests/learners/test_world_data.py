"""Worlds as data of policies: what may be seen of items, as vectors or as texts."""

import hashlib
from functools import partial

import pytest
import torch

from lightrec.encoders.base import Encoder
from lightrec.keys import Column
from lightrec.learners.world_data import WorldData
from lightrec.policies.tower import TowerPolicy


class Bag(Encoder):
    """Counts of words, hashed into 40 places."""

    size = 40

    def encode(self, texts):
        table = torch.zeros(len(texts), self.size)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                table[row, int(hashlib.md5(word.encode()).hexdigest(), 16) % self.size] += 1
        return table


def test_without_an_encoder_items_are_the_worlds_vectors():
    data = WorldData("Greed")
    policy = data.make_policy()
    assert data.vector_size == 18
    assert torch.equal(data.vectors, data.make(1).item_vectors)
    assert policy.meaning.shape == (18, 0)


def test_titles_and_texts_stand_side_by_side():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag())
    items = data.make(1).catalog().rows
    assert data.vector_size == 80
    assert data.vectors.shape == (1001, 80)
    assert not data.vectors[0].any()
    title, text = items[Column.TITLE][6], items[Column.TEXT][6]
    sentences = text.replace(". ", ".\n").split("\n")
    assert len(sentences) == 3
    wanted = torch.cat([Bag().encode([title])[0], Bag().encode(sentences).mean(0)])
    torch.testing.assert_close(data.vectors[7], wanted)


def test_texts_tell_quality_and_bait_and_a_twin_is_seen_alike():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag())
    policy = data.make_policy()
    truth, seen = data.make(1).item_vectors[1:, 16:], policy.vectors[1:-1, 16:18]
    told = [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(truth.T, seen.T, strict=True)]
    assert min(told) > 0.7
    twins = list(range(1, 200))
    later = WorldData("Greed", {"words": "varied", "twins": twins}, text_encoder=Bag())
    grown = policy.with_items(later.vectors[1001:])
    new, old = grown.vectors[1001:-1, 16:18], grown.vectors[twins, 16:18]
    assert (new - old).std(0).max() < 0.8 * (old - old.roll(1, 0)).std(0).min()
    assert grown.num_items == later.num_items


def test_a_policy_of_texts_learns_nothing_for_single_items():
    own = partial(TowerPolicy, size=4)
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag(), policy=own)
    policy = data.make_policy()
    assert all(data.num_items not in p.shape for p in policy.parameters())
    assert policy.meaning.shape == (80, 18)
    with pytest.raises(ValueError, match="length 80"):
        policy.with_items(torch.zeros(1, 40))
