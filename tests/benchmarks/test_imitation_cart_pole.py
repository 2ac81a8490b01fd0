import math

import gymnasium
import numpy as np
import pytest
import torch
from torchrl.envs.utils import check_env_specs

from benchmarks.imitation.cart_pole import CART, CartPole, push
from lightrec.keys import Key
from lightrec.simulators.world import Scored


@pytest.mark.parametrize("ending", ["fixed", "leave"])
def test_specs(ending):
    check_env_specs(CartPole(3, ending=ending))


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
        following, reward, terminated, _, _ = other.step(int(action))
        assert reward == 1
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


def test_whole_episodes_are_those_of_gymnasium():
    other = gymnasium.make("CartPole-v1")
    for seed in range(3):
        start, _ = other.reset(seed=seed)
        world = CartPole(1, ending="leave")
        state = world.reset()
        state[CART] = torch.from_numpy(start).unsqueeze(0)
        over, length = False, 0
        while not over:
            action = torch.tensor([[length // 2 % 2]])
            following, _, over, _, _ = other.step(int(action))
            state = world.step(state.set(Key.ACTION, 1 + action))["next"].exclude("reward")
            torch.testing.assert_close(state[CART][0].numpy(), following, rtol=1e-4, atol=1e-5)
            length += 1
            assert bool(state["terminated"]) == over


def test_fixed_horizon_goes_on_and_rewards_what_stands():
    """The law of seals/CartPole-v0: angles in [-π, π), 1 while upright and in bounds."""
    world = CartPole(4, max_steps=2)
    state = world.reset()
    state[CART] = torch.tensor(
        [[0, 0, 0, 0], [2.5, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, math.pi - 0.01, 10.0]]
    )
    state[Key.ACTION] = torch.full((4, 1), 2)
    raw = push(state[CART], state[Key.ACTION] - 1)
    after = world.step(state)["next"]
    assert after["reward"].squeeze(1).tolist() == [1, 0, 0, 0]
    assert not after["done"].any()
    assert float(after[CART][3, 2]) == pytest.approx(float(raw[3, 2]) - 2 * math.pi)
    after = world.step(after.exclude("reward").set(Key.ACTION, state[Key.ACTION]))["next"]
    assert after["truncated"].all()
    assert not after["terminated"].any()


def test_the_rule_balances_for_500_steps():
    world = CartPole(32, scale=[0.1, 0.1, 0.1, 0.1])
    rule = Scored(world.oracle)
    world.set_seed(0)
    state, total = world.reset(), torch.zeros(32, 1)
    assert (state[CART].abs() <= 0.05).all()
    for _ in range(500):
        played, state = world.step_and_maybe_reset(rule.act(state))
        total += played["next", "reward"]
    assert (total == 500).all()
    assert played["next", "done"].all()


def test_the_rule_pushes_to_where_the_pole_falls():
    state = CartPole(2).reset()
    state[CART] = torch.tensor([[0, 0, 0.1, 0], [0, 0, -0.1, 0.0]])
    assert Scored(CartPole(2).oracle).act(state)[Key.ACTION].tolist() == [[2], [1]]


def test_what_is_observed_is_scaled_and_limited():
    world = CartPole(1, scale=[2.0, 1.0, 0.01, 1.0])
    state = world.reset()
    state[CART] = torch.tensor([[1.0, 0.0, 0.5, 0.0]])
    seen = world.step(state.set(Key.ACTION, torch.tensor([[2]])))["next", Key.OBSERVATION]
    assert seen[0, 0].item() == pytest.approx(0.5)
    assert seen[0, 2].item() == 10.0
