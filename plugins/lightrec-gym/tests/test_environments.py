"""Gymnasium's own checker, and equality with simulators and games that are stepped by hand."""

import warnings
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from lightrec_gym.environments import SimulatorEnv
from lightrec_gym.games import DiscreteGymnasium
from lightrec_testing import parametrize_checks, plugin_checks, tiny
from lightrec_testing.simulators import TinyWorld

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.simulators.user_model import UserModelSimulator


@parametrize_checks(plugin_checks("lightrec-gym"))
def test_contract(check):
    check()


def of_users(rows, **settings):
    """Users of a model, to whom nothing is shown again: what may be shown stands in a mask."""
    users, starts = tiny.tiny_user_model(), tiny.tiny_starts()
    return UserModelSimulator(users, starts, rows, max_steps=4, **settings)


MAKERS = {
    "offers": partial(TinyWorld, slate_size=1),
    "slates of offers": partial(TinyWorld, slate_size=2),
    "masks": of_users,
    "slates under masks": partial(of_users, slate_size=3),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gymnasiums_checker_finds_nothing(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What it has to say of boxes without bounds, and of a missing registration, is meant so.
        warnings.filterwarnings("ignore", message=".*(infinity|spec).*")
        check_env(SimulatorEnv(make(1)), skip_render_check=True)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_sessions_are_those_of_the_simulator(make):
    environment, simulator = SimulatorEnv(make(1)), make(1)
    environment.action_space.seed(0)
    for seed in range(7):
        observation, info = environment.reset(seed=seed)
        simulator.set_seed(seed)
        state, over = simulator.reset(), False
        while not over:
            assert observation in environment.observation_space
            assert np.array_equal(observation[Key.HISTORY], state[Key.HISTORY][0])
            action = environment.action_space.sample(info["action_mask"])
            items, places = torch.arange(1, TinyWorld.ITEMS + 1), np.atleast_1d(action).tolist()
            offered = state[Key.CANDIDATES][0] if Key.CANDIDATES in state else items
            slate = [[0 if p in places[:k] else int(offered[p]) for k, p in enumerate(places)]]
            after = simulator.step(state.set(Key.ACTION, torch.tensor(slate)))["next"]
            observation, *outcome, info = environment.step(action)
            assert outcome == [after[k].item() for k in ("reward", "terminated", "truncated")]
            state, over = after.exclude("reward"), after["done"].item()


def test_what_is_wrong_is_refused():
    with pytest.raises(ValueError, match="one session"):
        SimulatorEnv(of_users(2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        SimulatorEnv(of_users(1)).step(0)


class Bell(gymnasium.Env):
    """Nothing limits its steps."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(3, start=4)


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


def test_what_is_no_game_of_items_is_refused(monkeypatch):
    monkeypatch.setitem(gymnasium.registry, "Bell-v0", EnvSpec("Bell-v0", Bell))
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
