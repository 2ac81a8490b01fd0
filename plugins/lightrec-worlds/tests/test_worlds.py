"""What all worlds keep: they are TorchRL environments, compile, repeat, and can be read."""

from functools import partial

import numpy as np
import pytest
import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance, play
from lightrec_worlds.retention import Retention
from lightrec_worlds.tastes import Tastes
from lightrec_worlds.texts import describe_bait
from torchrl.envs.utils import check_env_specs

from lightrec.keys import Column, Key
from lightrec.simulators.world import Scored
from lightrec.simulators.worlds.far import Far, FarLaws

LAWS = FarLaws(0, fit_users=32, fit_steps=20)
WORLDS = [
    partial(Far, laws=LAWS),
    Greed,
    partial(Retention, horizon=5),
    partial(Tastes, max_steps=5),
]
every_world = pytest.mark.parametrize("make", WORLDS, ids=["Far", "Greed", "Retention", "Tastes"])


@every_world
def test_emits_what_it_announces(make):
    check_env_specs(make(4, slate_size=3), break_when_any_done="both")


@every_world
def test_the_same_seed_repeats_to_the_last_bit_in_any_batch(make):
    large, small = make(6), make(2)
    large.fix(torch.arange(6), 3)
    small.fix(torch.tensor([4, 1]), 3)
    one, other = large.reset(), small.reset()
    for _ in range(4):
        one = Scored(large.oracle).act(one, large.slate_size)
        other[Key.ACTION] = one[Key.ACTION][[4, 1]]
        one, other = large.step(one)["next"], small.step(other)["next"]
        for key in (Key.TAKEN, Key.TRUE_REWARD, "terminated"):
            assert torch.equal(one[key][[4, 1]], other[key])


@every_world
def test_a_step_is_one_graph(make):
    world = make(3, slate_size=2)
    world.set_seed(0)
    state = world.reset()
    state = Scored(world.oracle).act(state, world.slate_size)
    wanted = world._step(state)
    found = torch.compile(world._step, fullgraph=True, backend="eager")(state)
    assert torch.equal(wanted[Key.TAKEN], found[Key.TAKEN])


@every_world
def test_items_are_put_into_words(make):
    world = make(1)
    items = world.catalog().rows
    assert items.height == world.num_items
    assert items[Column.TEXT].null_count() == 0
    assert items[Column.TITLE].n_unique() == world.num_items
    assert not world.item_vectors[0].any()


def test_words_tell_quality_and_bait_apart():
    levels = np.linspace(-1, 1, 5, dtype=np.float32)
    items = describe_bait(np.arange(5), levels, levels[::-1].copy()).rows
    titles, texts = items[Column.TITLE], items[Column.TEXT]
    assert titles[0].startswith("You Will Not Believe This Western")
    assert "regrets" in texts[0]
    assert titles[4].startswith("Notes on the")
    assert "weeks" in texts[4]


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
