"""What all worlds keep: their items can be read, and what cannot be is refused."""

from functools import partial

import pytest
import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.interest_evolution import InterestEvolution
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from lightrec_worlds.playing import even_chance, play
from lightrec_worlds.retention import Retention
from lightrec_worlds.tastes import Tastes

from lightrec.errors import RecipeError
from lightrec.keys import Column
from lightrec.simulators.worlds.far import Far, FarLaws

LAWS = FarLaws(0, fit_users=32, fit_steps=20)
WORLDS = [
    partial(Far, laws=LAWS),
    Greed,
    partial(Retention, horizon=5),
    Tastes,
    InterestEvolution,
    LongTermSatisfaction,
]


@pytest.mark.parametrize("make", WORLDS)
def test_items_are_put_into_words(make):
    world = make(1)
    items = world.catalog().rows
    assert items.height == world.num_items
    assert items[Column.TEXT].null_count() == 0
    assert items[Column.TITLE].n_unique() == world.num_items
    assert not world.item_vectors[0].any()


def test_play_counts_until_the_end_of_each_session():
    world = Greed(64)
    played = play(world, even_chance(world), 5)
    again = play(world, even_chance(world), 5)
    assert torch.equal(played.returns, again.returns)
    assert (played.length >= 1).all()
    assert (played.length <= 40).all()
    assert (played.returns <= played.length).all()
    fixed = Greed(8, ending="fixed")
    assert (play(fixed, fixed.oracle, 5).length == 40).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(Greed, twins=[5, 1001]), "a twin is one of an item, 1 to 1000"),
        (partial(InterestEvolution, num_items=1999), "multiple of 200"),
        (partial(LongTermSatisfaction, num_items=1001), "multiple of the 10"),
        (partial(LongTermSatisfaction, memory=1.0), "memory is 1"),
        (partial(Retention, horizon=1), "at least 2 days"),
        (partial(Tastes, drift=1.5), r"drift is 1\.5 and day is 0"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make(1)
