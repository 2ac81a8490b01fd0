"""Gymnasium's games as sessions: equal to Gymnasium stepped by hand, cut told apart from ended."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from lightrec_gym.games import DiscreteGymnasium

from lightrec.errors import RecipeError
from lightrec.keys import Key


class Bell(gymnasium.Env):
    """Nothing limits its steps."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(3, start=4)


@pytest.fixture(scope="module", autouse=True)
def _registered():
    gymnasium.register("Bell-v0", Bell)
    yield
    del gymnasium.registry["Bell-v0"]


def test_games_are_those_of_gymnasium_stepped_by_hand():
    """A pole that is balanced for 20 steps is cut there; one that is pushed falls, and lies."""
    limit = {"max_episode_steps": 20}
    world = DiscreteGymnasium("CartPole-v1", 2, scale=[2.0, 1.0, 0.5, 1.0], settings=limit)
    world.set_seed(0)
    state = world.reset()
    others = [gymnasium.make("CartPole-v1", **limit) for _ in range(2)]
    seeds = [int(s) & (2**63 - 1) for s in state[Key.SESSION]]
    seen = [other.reset(seed=seed)[0] for other, seed in zip(others, seeds, strict=True)]
    over = {}
    for step in range(1, 21):
        expected = np.stack(seen) / np.array([2.0, 1.0, 0.5, 1.0])
        assert np.array_equal(state[Key.OBSERVATION].numpy(), expected.astype(np.float32))
        actions = [int(seen[0][2] + 0.5 * seen[0][3] > 0), 1]
        after = world.step(state.set(Key.ACTION, torch.tensor(actions)[:, None] + 1))["next"]
        for row, other in enumerate(others):
            if row in over:
                assert after["reward"][row] == 0
                continue
            seen[row], *expected, _ = other.step(actions[row])
            names = ("reward", "terminated", "truncated")
            assert [after[name][row].item() for name in names] == expected
            if after["done"][row]:
                over[row] = (step, *expected[1:])
        state = after.exclude("reward")
    assert over[0] == (20, False, True)
    assert over[1][0] < 12
    assert over[1][1:] == (True, False)


def test_what_is_no_game_of_items_is_refused():
    for name, scale, message in (
        ("CartPole-v77", None, "knows no environment 'CartPole-v77'"),
        ("Pendulum-v1", None, "which are no items"),
        ("Bell-v0", None, "give max_episode_steps"),
        ("CartPole-v1", [1.0, 2.0], "give 4 positive numbers"),
    ):
        with pytest.raises(RecipeError, match=message):
            DiscreteGymnasium(name, 1, scale=scale)
    world = DiscreteGymnasium("CartPole-v1", 2)
    first = world.reset().set(Key.ACTION, torch.ones(2, 1).long())
    world.step(first.clone())
    with pytest.raises(ValueError, match="not the one in which its game stands"):
        world.step(first.clone())
