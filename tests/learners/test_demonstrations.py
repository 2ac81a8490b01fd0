import pytest
import torch

from benchmarks.imitation.cart_pole import CartPole
from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.learners.transitions import demonstrate, with_absorbing
from lightrec.simulators.wrappers import Absorbing


class Right:
    """Pushes to the right, always."""

    def act(self, state, slate_size=1, deterministic=True):
        return state.set(Key.ACTION, torch.full((len(state), 1), 2))


def fall():
    world = CartPole(1, ending="leave", max_steps=30)
    world.set_seed(0)
    played = demonstrate(world, Right(), 30)[0]
    length = int(played["next", "terminated"].squeeze(1).nonzero()[0]) + 1
    return played[:length]


def test_playing_gives_transitions_that_hang_together():
    world = CartPole(3, max_steps=5)
    played = demonstrate(world, Right(), 8)
    assert played.batch_size == (3, 8)
    after, before = played["next", Key.OBSERVATION][:, :-1], played[Key.OBSERVATION][:, 1:]
    same = (after == before).all(-1).all(0)
    assert same.tolist() == [True] * 4 + [False] + [True] * 2
    assert played["next", "done"][:, 4].all()


def test_ends_played_on_are_those_that_the_simulator_plays_on():
    world = Absorbing(CartPole(1, ending="leave", max_steps=30))
    world.set_seed(0)
    expected = demonstrate(world, Right(), 30)[0]
    found = with_absorbing(fall(), 30)
    assert len(found) == 30
    for key in (Key.ABSORBING, Key.OBSERVATION):
        assert torch.equal(found[key], expected[key])
        assert torch.equal(found["next", key], expected["next", key])
    assert not found["next", "terminated"].any()


def test_a_trajectory_that_was_cut_stays_as_it_is():
    cut = fall()[:-1]
    found = with_absorbing(cut, 30)
    assert len(found) == len(cut)
    assert not found["next", Key.ABSORBING].any()


def test_odd_trajectories_are_refused():
    with pytest.raises(DataError, match="2 of them ends"):
        with_absorbing(torch.cat([fall(), fall()]), 30)
    with pytest.raises(DataError, match="cannot be played on to 5 steps"):
        with_absorbing(fall(), 5)
