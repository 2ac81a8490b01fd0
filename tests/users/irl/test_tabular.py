"""Exact inverse reinforcement learning against the expert, frozen references and the logit."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.errors import DataError
from lightrec.users.irl.soft_policy import TabularProcess, action_occupancy, occupancy, soft_policy
from lightrec.users.irl.tabular import (
    empirical_occupancy,
    fit_demonstrations,
    fit_occupancy,
    log_likelihood,
)
from tests.users.irl.processes import random_process, sample


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    states=st.integers(2, 50),
    actions=st.integers(2, 8),
    ending=st.sampled_from([(1, 1.0), (20, 1.0), (12, 0.9), (None, 0.0), (None, 0.95)]),
    by_action=st.booleans(),
    final_visit=st.booleans(),
    spread=st.sampled_from([0.1, 1.0]),
    scale=st.sampled_from([0.3, 1.0, 2.0]),
)
def test_the_policy_found_visits_what_the_expert_visits(
    seed, states, actions, ending, by_action, final_visit, spread, scale
):
    horizon, discount = ending
    final = final_visit and horizon is not None and not by_action
    process, draw = random_process(seed, states, actions, horizon, discount, final, spread)
    shape = (states, actions) if by_action else (states,)
    policy = soft_policy(process, scale * draw.normal(size=shape)).probabilities
    count = action_occupancy if by_action else occupancy
    expert = count(process, policy)
    found = fit_occupancy(process, expert)
    assert abs(found.occupancy - expert).max() <= 1e-6
    assert abs(count(process, found.policy) - expert).max() <= 1e-6


def test_weights_of_features_are_recovered():
    process, draw = random_process(0, 30, 5, None, 0.9)
    features, weights = draw.normal(size=(30, 5, 4)), np.array([1.0, -2.0, 0.5, 0.0])
    policy = soft_policy(process, features @ weights).probabilities
    found = fit_occupancy(process, action_occupancy(process, policy), features)
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
    all_visits = TabularProcess(frozen["T"], frozen["p0"], 20, final_visit=True)
    solved = soft_policy(process, frozen["R"])
    assert np.allclose(solved.probabilities, frozen["expert_pi"], atol=1e-12)
    assert np.allclose(solved.value, frozen["expert_V"], atol=1e-10)
    assert np.allclose(occupancy(all_visits, solved.probabilities), frozen["expert_Dcum"])
    found = fit_occupancy(process, frozen["expert_D"][:20].sum(0))
    matched = occupancy(all_visits, found.policy)
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


def test_the_frozen_demonstrations_become_likelier_than_under_the_reference():
    frozen = reference()
    process = TabularProcess(frozen["T"], frozen["p0"], 20)
    all_visits = TabularProcess(frozen["T"], frozen["p0"], 20, final_visit=True)
    states, actions = frozen["demo_states"], frozen["demo_actions"]
    counted = empirical_occupancy(all_visits, states)
    assert np.allclose(counted, frozen["demo_Dcum_empirical"])
    assert fit_occupancy(all_visits, counted).gap < 1e-7
    matched = fit_occupancy(process, empirical_occupancy(process, states[:, :20]))
    assert matched.gap < 1e-7
    # imitation matches 21 visits with a reward for 20, which is another problem.
    theirs = "sampled200_lr5e-2_3000it"
    assert abs(matched.policy - frozen[f"{theirs}__pi"]).max() < 0.04
    likely = fit_demonstrations(process, states[:, :20], actions, by_state=True)
    rewards = [likely.reward, matched.reward, frozen[f"{theirs}__reward"]]
    found = [log_likelihood(process, reward, states[:, :20], actions)[0] for reward in rewards]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(-27.305464, abs=1e-5)


@pytest.mark.parametrize(
    ("horizon", "discount", "final_visit", "by_action"),
    [
        (5, 0.9, False, False),
        (5, 0.9, True, False),
        (5, 1.0, False, True),
        (None, 0.9, False, True),
    ],
)
def test_the_likelihoods_gradient_is_its_derivative(horizon, discount, final_visit, by_action):
    process, draw = random_process(0, 6, 3, horizon, discount, final_visit)
    states, actions = draw.integers(6, size=(7, 5)), draw.integers(3, size=(7, 5))
    reward = draw.normal(size=(6, 3) if by_action else 6)
    gradient = log_likelihood(process, reward, states, actions)[1]
    for place in np.ndindex(reward.shape):
        step = np.zeros(reward.shape)
        step[place] = 1e-5
        ends = [log_likelihood(process, reward + s, states, actions)[0] for s in (step, -step)]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_of_exact_occupancies_the_likelihoods_gradient_is_their_difference():
    # One step and one state: the demonstrations' frequencies are an occupancy.
    process = TabularProcess(np.ones((1, 3, 1)), np.ones(1), 1)
    states, actions = np.zeros((10, 1), int), np.array([[0]] * 5 + [[1]] * 3 + [[2]] * 2)
    gradient = log_likelihood(process, np.zeros((1, 3)), states, actions)[1]
    assert np.allclose(gradient, np.array([[0.5, 0.3, 0.2]]) - 1 / 3)


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


@pytest.mark.parametrize("horizon", [None, 6])
def test_without_discount_it_is_the_conditional_logit(horizon):
    process, draw = random_process(3, 8, 4, horizon, 0.0)
    features = draw.normal(size=(8, 4, 3))
    truth = np.exp(features @ np.array([1.0, -0.5, 0.3]))
    policy = truth / truth.sum(1, keepdims=True)
    states, actions = sample(process, policy, 200, 6, seed=0)
    expected = logit(features, states, actions)
    found = fit_demonstrations(process, states, actions, features)
    assert np.allclose(found.weights, expected, atol=1e-7)
    # The dual sees first steps: of one step each, started where people were, it is the same.
    frequency = np.bincount(states.ravel(), minlength=8) / states.size
    single = TabularProcess(process.transitions, frequency, None, 0.0)
    counted = empirical_occupancy(single, states.reshape(-1, 1), actions.reshape(-1, 1))
    assert np.allclose(fit_occupancy(single, counted, features).weights, expected, atol=1e-7)


def test_demonstrations_lead_to_the_reward_that_made_them():
    process, _ = random_process(4, 5, 3, None, 0.8)
    features = np.random.default_rng(5).normal(size=(5, 3, 2))
    policy = soft_policy(process, features @ np.array([1.0, -1.0])).probabilities
    states, actions = sample(process, policy, 4000, 10, seed=1)
    found = fit_demonstrations(process, states, actions, features)
    assert np.allclose(found.weights, [1.0, -1.0], atol=0.03)


def test_what_does_not_fit_is_refused():
    process, _ = random_process(0, 4, 2, 3)
    with pytest.raises(DataError, match="sums to 1; discounted visits"):
        fit_occupancy(process, np.full(4, 0.25))
    with pytest.raises(DataError, match=r"finite numbers of shape \(4, F\)"):
        fit_occupancy(process, np.full(4, 0.75), np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"expected is \(N, 3\)"):
        empirical_occupancy(process, np.zeros((5, 4), int))
    with pytest.raises(DataError, match="Some state numbers are below 0 or above 3"):
        empirical_occupancy(process, np.full((5, 3), 4))
    with pytest.raises(DataError, match="they must be the same"):
        fit_demonstrations(process, np.zeros((5, 3), int), np.zeros((5, 2), int))
