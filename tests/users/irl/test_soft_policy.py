"""Soft-optimal behaviour against enumeration, closed forms and long horizons."""

from itertools import product

import numpy as np
import pytest

from lightrec.errors import DataError, RecipeError
from lightrec.users.irl.soft_policy import (
    TabularProcess,
    action_occupancy,
    occupancy,
    soft_policy,
    visits,
)
from tests.users.irl.processes import random_process

TWO = np.full((2, 2, 2), 0.5)


def test_in_a_certain_world_trajectories_are_exponential_in_their_reward():
    # Ziebart et al. (2008): where transitions are certain, P(trajectory) ∝ exp(sum of rewards).
    draw = np.random.default_rng(0)
    moves = draw.integers(4, size=(4, 3))
    process = TabularProcess(np.eye(4)[moves], np.eye(4)[0], horizon=4)
    reward = draw.normal(size=(4, 3))
    logs, sums = [], []
    policy = soft_policy(process, reward).probabilities
    for actions in product(range(3), repeat=4):
        state, log, total = 0, 0.0, 0.0
        for step, action in enumerate(actions):
            log += np.log(policy[step, state, action])
            total += reward[state, action]
            state = moves[state, action]
        logs.append(log)
        sums.append(total)
    sums = np.array(sums)
    expected = sums - np.log(np.exp(sums).sum())
    assert np.allclose(logs, expected, atol=1e-12)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.95])
def test_without_a_horizon_it_is_the_limit_of_long_ones(discount):
    endless, draw = random_process(1, 6, 3, None, discount)
    reward = draw.normal(size=(6, 3))
    long = TabularProcess(endless.transitions, endless.initial, 700, discount)
    found, expected = soft_policy(endless, reward), soft_policy(long, reward)
    assert np.allclose(found.value, expected.value[0], atol=1e-10)
    assert np.allclose(found.probabilities, expected.probabilities[0], atol=1e-10)
    assert np.allclose(
        action_occupancy(endless, found.probabilities),
        action_occupancy(long, found.probabilities),
        atol=1e-10,
    )


def test_the_value_is_rewards_and_entropy_of_what_is_visited():
    process, draw = random_process(2, 5, 4, 7, 0.9, final_visit=True)
    reward = draw.normal(size=5)
    solved = soft_policy(process, reward)
    by_step = visits(process, solved.probabilities)
    entropy = -(by_step * np.log(solved.probabilities)).sum()
    total = occupancy(process, solved.probabilities) @ reward + entropy
    assert process.initial @ solved.value[0] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize(
    ("discount", "horizon", "final", "total"),
    [(1.0, 20, False, 20.0), (1.0, 20, True, 21.0), (0.5, 3, True, 1.875), (0.9, None, False, 10)],
)
def test_visits_sum_to_the_length_of_a_trajectory(discount, horizon, final, total):
    process, _ = random_process(3, 4, 2, horizon, discount, final)
    even = np.full((4, 2), 0.5)
    assert occupancy(process, even).sum() == pytest.approx(total, abs=1e-9)


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(RecipeError, match="below 1 where there is no horizon"):
        TabularProcess(TWO, np.full(2, 0.5))
    with pytest.raises(RecipeError, match="only with one there is a final visit"):
        TabularProcess(TWO, np.full(2, 0.5), discount=0.5, final_visit=True)
    with pytest.raises(DataError, match="must be probabilities"):
        TabularProcess(2 * TWO, np.full(2, 0.5), 3)
    with pytest.raises(DataError, match=r"must be \(S, A, S\) and \(S,\)"):
        TabularProcess(TWO, np.full(3, 1 / 3), 3)
    process = TabularProcess(TWO, np.full(2, 0.5), 3, final_visit=True)
    with pytest.raises(RecipeError, match="reward of states alone"):
        soft_policy(process, np.zeros((2, 2)))
    with pytest.raises(RecipeError, match="no action is taken"):
        action_occupancy(process, np.full((2, 2), 0.5))
    with pytest.raises(DataError, match="not finite"):
        soft_policy(process, np.array([0.0, np.nan]))
