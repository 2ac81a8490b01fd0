"""The cart with a pole is Gymnasium's, and a step over many items adds little memory."""

import math

import gymnasium
import numpy as np
import pytest
import torch

from benchmarks.measure.carts import CART, CartPole, push
from benchmarks.measure.softmax_step import step
from lightrec.keys import Key
from tests.processes import apart


def test_steps_are_those_of_gymnasium():
    generator = np.random.default_rng(0)
    spread = np.array([2.0, 2.0, math.pi, 5.0])
    states = (generator.uniform(-1, 1, (400, 4)) * spread).astype(np.float32)
    actions = generator.integers(0, 2, 400)
    other = gymnasium.make("CartPole-v1").unwrapped
    other.reset(seed=0)
    expected, ended = [], []
    for state, action in zip(states, actions, strict=True):
        other.state, other.steps_beyond_terminated = state.astype(np.float64), None
        following, _, terminated, _, _ = other.step(int(action))
        expected.append(following)
        ended.append(terminated)
    moved = push(torch.from_numpy(states), torch.from_numpy(actions).unsqueeze(1))
    torch.testing.assert_close(moved.numpy(), np.stack(expected), rtol=1e-6, atol=1e-6)

    world = CartPole(400, ending="leave")
    state = world.reset()
    state[CART] = torch.from_numpy(states)
    state[Key.ACTION] = 1 + torch.from_numpy(actions).unsqueeze(1)
    after = world.step(state)["next"]
    assert after["terminated"].squeeze(1).tolist() == ended
    assert (after["reward"] == 1).all()


@pytest.mark.slow
def test_a_step_over_many_items_adds_little_memory():
    """The logits of the 500 targets alone would take 0.37 GiB."""
    (found,) = apart(step, (200_000, 64, 10))
    assert found["held_gib"] == pytest.approx(4 * 200_001 * 65 * 4 / 2**30, rel=0.01)
    assert found["added_gib"] < 0.3
