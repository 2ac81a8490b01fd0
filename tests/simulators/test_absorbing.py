import pytest
import torch
from lightrec_worlds.greed import Greed
from torchrl.envs.utils import check_env_specs

from benchmarks.measure.carts import CartPole
from lightrec.keys import Key


@pytest.mark.parametrize("kind", [CartPole, Greed])
def test_specs(kind):
    check_env_specs(kind(3, ending="absorbing", max_steps=20))


def test_ends_are_played_on_without_reward():
    world = CartPole(8, ending="absorbing", max_steps=40)
    world.set_seed(0)
    base_alone = CartPole(8, ending="leave", max_steps=40)
    base_alone.set_seed(0)
    state, alone = world.reset(), base_alone.reset()
    going, total, expected = torch.ones(8, 1, dtype=torch.bool), 0.0, 0.0
    right = torch.full((8, 1), 2)
    for step in range(40):
        before = state[Key.OBSERVATION]
        after = world.step(state.set(Key.ACTION, right))["next"]
        assert not after["terminated"].any()
        assert bool(after["done"].all()) == (step == 39)
        frozen = state[Key.ABSORBING]
        assert torch.equal(after[Key.OBSERVATION][frozen[:, 0]], before[frozen[:, 0]])
        total = total + after["reward"]
        other = base_alone.step(alone.set(Key.ACTION, right))["next"]
        expected = expected + other["reward"] * going
        going = going & ~other["terminated"]
        assert torch.equal(after[Key.ABSORBING], ~going)
        state, alone = after.exclude("reward"), other.exclude("reward")
    assert torch.equal(total, expected)
    assert (total < 15).all()


def test_sessions_begin_anew_after_the_horizon():
    world = CartPole(2, ending="absorbing", max_steps=15)
    state = world.reset()
    for _ in range(15):
        state[Key.ACTION] = torch.ones(2, 1, dtype=torch.int64)
        _, state = world.step_and_maybe_reset(state)
    assert not state[Key.ABSORBING].any()
    assert (state[Key.STEP] == 0).all()
