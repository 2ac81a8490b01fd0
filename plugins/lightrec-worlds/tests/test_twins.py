"""Twins in the world `greed`: items that are added, alike in all but words, and change nothing."""

import re

import numpy as np
import pytest
import torch
from lightrec_worlds import texts as wordings
from lightrec_worlds.greed import Greed
from lightrec_worlds.texts import describe_bait

from lightrec.errors import RecipeError
from lightrec.keys import Column, Key


def test_twins_are_alike_and_stand_last():
    world, plain = Greed(1, twins=[3, 500]), Greed(1)
    assert world.num_items == 1002
    assert torch.equal(world.item_vectors[:1001], plain.item_vectors)
    assert torch.equal(world.item_vectors[1001:], plain.item_vectors[[3, 500]])
    assert torch.equal(world.quality[1001:], plain.quality[[3, 500]])
    assert world.topic[1000:].tolist() == [2, 19]


def test_sessions_that_show_no_twin_go_on_as_without():
    worlds = Greed(64), Greed(64, twins=[3, 500])
    states = []
    for world in worlds:
        world.fix(torch.arange(64), 5)
        states.append(world.reset())
    for step in range(6):
        shown = (torch.arange(64).unsqueeze(1) + 70 * step) % 1000 + 1
        for place, world in enumerate(worlds):
            states[place][Key.ACTION] = shown
            states[place] = world.step(states[place])["next"].exclude("reward")
        one, other = states
        assert torch.equal(one[Key.MASK], other[Key.MASK][:, :1001])
        assert other[Key.MASK][:, 1001:].all()
        for key in (Key.TAKEN, Key.OBSERVATION, Key.TRUE_REWARD, "done"):
            assert torch.equal(one[key], other[key])
        assert torch.equal(one[Key.LATENT, "satisfaction"], other[Key.LATENT, "satisfaction"])


@pytest.mark.parametrize("twins", [[0], [1001], [5, -1]])
def test_a_twin_of_no_item_is_refused(twins):
    with pytest.raises(RecipeError, match="a twin is one of an item, 1 to 1000"):
        Greed(1, twins=twins)


@pytest.mark.parametrize("words", ["plain", "varied", "unheard"])
def test_earlier_items_keep_their_words(words):
    before = Greed(1, words=words).catalog().rows
    after = Greed(1, words=words, twins=[1000, 7]).catalog().rows
    assert after[:1000].equals(before)
    assert after[Column.ITEM].n_unique() == 1002


def test_twins_have_the_grades_of_their_originals():
    """Added items move no grade: all of them are as good as the best."""
    quality = np.linspace(-1, 1, 10, dtype=np.float32)
    quality = np.append(quality, np.ones(30, dtype=np.float32))
    texts = describe_bait(np.zeros(40, dtype=np.int64), quality, quality, added=30).rows["text"]
    assert sum("weeks" in text for text in texts[:10]) == 2
    assert all("weeks" in text for text in texts[10:])


def test_wordings_are_drawn_evenly_and_the_unheard_ones_stay_unheard():
    count = 6000
    grade = np.resize(np.linspace(-1, 1, 5, dtype=np.float32), count)
    topic = np.zeros(count, dtype=np.int64)
    catalog = describe_bait(topic, grade, grade, words="unheard", added=count // 2)
    texts = catalog.rows["text"].to_list()
    old, new = texts[: count // 2], texts[count // 2 :]
    for ways in wordings._VERDICTS:
        found = [sum(f". {way}. " in text for text in old) for way in ways]
        # 600 texts of each grade, four wordings: 150 each, within 4 standard deviations.
        assert found[4:] == [0, 0]
        assert found[:4] == pytest.approx([150] * 4, abs=43)
        found = [sum(f". {way}. " in text for text in new) for way in ways]
        assert found[:4] == [0] * 4
        assert found[4:] == pytest.approx([300] * 2, abs=49)
    remarks = {re.split(r"\. ?", text)[-2] for text in old}
    assert remarks == set(wordings._REMARKS[:12])
    assert {re.split(r"\. ?", text)[-2] for text in new} == set(wordings._REMARKS[12:])
