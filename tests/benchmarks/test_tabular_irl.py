"""Exact soft-optimal behaviour and inverse reinforcement learning, against closed forms.

Enumeration, the expert's own occupancy, frozen references and the conditional logit.
"""

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tabular_irl import (
    TabularProcess,
    empirical_occupancy,
    fit_occupancy,
    occupancy,
    soft_policy,
    visits,
)
from lightrec.errors import DataError, RecipeError

TWO = np.full((2, 2, 2), 0.5)


def random_process(seed, states, actions, horizon, discount=1.0, spread=1.0):
    """Draw transitions from a Dirichlet law; ``spread`` below 1 makes them nearly certain."""
    draw = np.random.default_rng(seed)
    transitions = draw.dirichlet(np.full(states, spread), (states, actions))
    transitions /= transitions.sum(-1, keepdims=True)
    initial = draw.dirichlet(np.ones(states))
    return TabularProcess(transitions, initial, horizon, discount), draw


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
    counts = [occupancy(each, found.probabilities, actions=True) for each in (endless, long)]
    assert np.allclose(*counts, atol=1e-10)


def test_the_value_is_rewards_and_entropy_of_what_is_visited():
    process, draw = random_process(2, 5, 4, 7, 0.9)
    reward = draw.normal(size=5)
    solved = soft_policy(process, reward)
    by_step = visits(process, solved.probabilities)
    entropy = -(by_step * np.log(solved.probabilities)).sum()
    total = occupancy(process, solved.probabilities) @ reward + entropy
    assert process.initial @ solved.value[0] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize(
    ("discount", "horizon", "total"), [(1.0, 20, 20.0), (0.5, 4, 1.875), (0.9, None, 10)]
)
def test_visits_sum_to_the_length_of_a_trajectory(discount, horizon, total):
    process, _ = random_process(3, 4, 2, horizon, discount)
    even = np.full((4, 2), 0.5)
    assert occupancy(process, even).sum() == pytest.approx(total, abs=1e-9)


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(RecipeError, match="below 1 where there is no horizon"):
        TabularProcess(TWO, np.full(2, 0.5))
    with pytest.raises(RecipeError, match="horizon 0"):
        TabularProcess(TWO, np.full(2, 0.5), 0)
    with pytest.raises(DataError, match="must be probabilities"):
        TabularProcess(2 * TWO, np.full(2, 0.5), 3)
    with pytest.raises(DataError, match=r"must be \(S, A, S\) and \(S,\)"):
        TabularProcess(TWO, np.full(3, 1 / 3), 3)
    process = TabularProcess(TWO, np.full(2, 0.5), 3)
    with pytest.raises(DataError, match=r"it must be \(S,\) = \(2,\)"):
        soft_policy(process, np.zeros((3, 2)))
    with pytest.raises(DataError, match="not finite"):
        soft_policy(process, np.array([0.0, np.nan]))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    states=st.integers(2, 50),
    actions=st.integers(2, 8),
    ending=st.sampled_from([(1, 1.0), (20, 1.0), (12, 0.9), (None, 0.0), (None, 0.95)]),
    by_action=st.booleans(),
    spread=st.sampled_from([0.1, 1.0]),
    scale=st.sampled_from([0.3, 1.0, 2.0]),
)
def test_the_policy_found_visits_what_the_expert_visits(
    seed, states, actions, ending, by_action, spread, scale
):
    process, draw = random_process(seed, states, actions, *ending, spread)
    shape = (states, actions) if by_action else (states,)
    policy = soft_policy(process, scale * draw.normal(size=shape)).probabilities
    expert = occupancy(process, policy, actions=by_action)
    found = fit_occupancy(process, expert)
    assert abs(found.occupancy - expert).max() <= 1e-6
    assert abs(occupancy(process, found.policy, actions=by_action) - expert).max() <= 1e-6


def test_weights_of_features_are_recovered():
    process, draw = random_process(0, 30, 5, None, 0.9)
    features, weights = draw.normal(size=(30, 5, 4)), np.array([1.0, -2.0, 0.5, 0.0])
    policy = soft_policy(process, features @ weights).probabilities
    found = fit_occupancy(process, occupancy(process, policy, actions=True), features)
    assert np.allclose(found.weights, weights, atol=1e-6)


def test_a_ridge_matches_features_up_to_itself():
    process, draw = random_process(1, 10, 3, 5)
    expert = occupancy(process, soft_policy(process, draw.normal(size=10)).probabilities)
    found = fit_occupancy(process, expert, ridge=0.1)
    assert np.allclose(expert - found.occupancy, 0.1 * found.weights, atol=1e-7)


def reference():
    root = os.environ.get("LIGHTREC_TEST_REFERENCE")
    if root is None:
        pytest.skip("LIGHTREC_TEST_REFERENCE is not set")
    return np.load(Path(root) / "mce_irl.npz")


def test_the_frozen_experts_occupancy_is_matched():
    frozen = reference()
    # There a trajectory has 21 visits, of which the last is not rewarded.
    process = TabularProcess(frozen["T"], frozen["p0"], 20)
    all_visits = TabularProcess(frozen["T"], frozen["p0"], 21)
    solved = soft_policy(process, frozen["R"])
    assert np.allclose(solved.probabilities, frozen["expert_pi"], atol=1e-12)
    assert np.allclose(solved.value, frozen["expert_V"], atol=1e-10)
    assert np.allclose(visited(all_visits, solved.probabilities), frozen["expert_Dcum"])
    found = fit_occupancy(process, frozen["expert_D"][:20].sum(0))
    matched = visited(all_visits, found.policy)
    assert matched.sum() == pytest.approx(21)
    assert abs(matched - frozen["expert_Dcum"]).max() < 1e-7
    # In this world the reward itself is known up to a constant.
    assert np.allclose(found.reward - found.reward.mean(), frozen["R"] - frozen["R"].mean())
    # imitation's finer setting found the same, to the six digits that it converged to.
    name = "exact_lr5e-2_3000it"
    assert abs(found.policy - frozen[f"{name}__pi"]).max() < 2e-6
    theirs = frozen[f"{name}__reward"]
    assert np.allclose(found.reward - found.reward.mean(), theirs - theirs.mean(), atol=2e-5)
    assert abs(matched - frozen[f"{name}__Dcum"]).max() < 2e-6
    # Where the last visit is rewarded too, all 21 are matched by the dual itself.
    last = fit_occupancy(all_visits, frozen["expert_Dcum"])
    assert abs(last.occupancy - frozen["expert_Dcum"]).max() < 1e-7


def visited(process, policy):
    """Visits of a policy that stops one step short of the horizon, the last state included."""
    return occupancy(process, np.concatenate([policy, policy[-1:]]))


def test_the_frozen_demonstrations_are_counted_and_matched():
    frozen = reference()
    process = TabularProcess(frozen["T"], frozen["p0"], 20)
    all_visits = TabularProcess(frozen["T"], frozen["p0"], 21)
    counted = empirical_occupancy(all_visits, frozen["demo_states"])
    assert np.allclose(counted, frozen["demo_Dcum_empirical"])
    assert fit_occupancy(all_visits, counted).gap < 1e-7
    matched = fit_occupancy(process, empirical_occupancy(process, frozen["demo_states"][:, :20]))
    assert matched.gap < 1e-7
    # imitation matches 21 visits with a reward for 20, which is another problem.
    theirs = "sampled200_lr5e-2_3000it"
    assert abs(matched.policy - frozen[f"{theirs}__pi"]).max() < 0.04


def logit(features, states, actions):
    """The conditional logit's maximum likelihood, by PyTorch alone."""
    table = torch.from_numpy(features)
    weights = torch.zeros(features.shape[-1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimizer.zero_grad()
        scores = (table @ weights)[torch.from_numpy(states.ravel())]
        value = torch.nn.functional.cross_entropy(scores, torch.from_numpy(actions.ravel()))
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach().numpy()


def test_of_single_steps_it_is_the_conditional_logit():
    process, draw = random_process(3, 8, 4, None, 0.0)
    features = draw.normal(size=(8, 4, 3))
    states = draw.choice(8, 1200, p=process.initial)
    scores = (features @ np.array([1.0, -0.5, 0.3]))[states]
    actions = (scores + draw.gumbel(size=scores.shape)).argmax(1)
    frequency = np.bincount(states, minlength=8) / states.size
    single = TabularProcess(process.transitions, frequency, None, 0.0)
    counted = empirical_occupancy(single, states[:, None], actions[:, None])
    expected = logit(features, states, actions)
    assert np.allclose(fit_occupancy(single, counted, features).weights, expected, atol=1e-7)


def test_what_does_not_fit_is_refused():
    process, _ = random_process(0, 4, 2, 3)
    with pytest.raises(DataError, match="sums to 1; discounted visits"):
        fit_occupancy(process, np.full(4, 0.25))
    with pytest.raises(DataError, match=r"finite numbers of shape \(4, F\)"):
        fit_occupancy(process, np.full(4, 0.75), np.zeros((3, 2)))
    with pytest.raises(DataError, match="sums to 4; discounted visits"):
        fit_occupancy(process, empirical_occupancy(process, np.zeros((5, 4), int)))
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="invalid entry"):
            empirical_occupancy(process, np.full((5, 3), wrong))
