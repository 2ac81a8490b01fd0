"""The search for the best constant list, in worlds where it can be told by hand."""

import pytest
import torch
from lightrec_worlds.constant import at_first, best_constant
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance, play

from lightrec.policies.baselines import ConstantListPolicy


@pytest.fixture(scope="module")
def greed():
    return Greed(256, max_steps=15)


def test_at_first_items_are_taken_as_the_law_says(greed):
    reward, taken = at_first(greed, 3)
    greed.fix(torch.arange(256), 3)
    wanted = greed.logits(greed.reset()).sigmoid().mean(0)
    # 256 users, each taking an item or not: five standard errors of the most uncertain.
    assert (taken - wanted)[1:].abs().max() < 5 * 0.5 / 256**0.5
    assert (taken - wanted)[1:].abs().mean() < 0.02
    assert torch.equal(reward, taken)


@pytest.mark.slow
def test_the_list_beats_chance_and_greed(greed):
    appeal = best_constant(greed, rounds=2, factors=(0.0, 1.0, 4.0))
    judged = Greed(512, max_steps=15)
    ways = (ConstantListPolicy.from_appeal(appeal).logits, even_chance(judged), judged.greedy)
    constant, chance, greedy = (play(judged, way, 77).returns.mean() for way in ways)
    assert constant > 1.2 * max(chance, greedy)
    assert appeal[0] == -torch.inf
