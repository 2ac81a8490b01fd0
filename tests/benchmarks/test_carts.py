"""The cart with a pole is Gymnasium's."""

import math

import gymnasium
import numpy as np
import torch

from benchmarks.measure.carts import CART, CartPole, push
from lightrec.keys import Key


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
