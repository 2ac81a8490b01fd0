"""Gymnasium's own checker, and equality with simulators that are stepped by hand."""

import warnings
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from lightrec_gym.environments import SimulatorEnv
from lightrec_testing import parametrize_checks, plugin_checks, tiny
from lightrec_testing.simulators import TinyWorld

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
