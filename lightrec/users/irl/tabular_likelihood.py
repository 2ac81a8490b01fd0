"""Maximum causal likelihood in a finite process: the reward under which demonstrations are likely.

From whole occupancies it is the same problem as :mod:`lightrec.users.irl.tabular`'s. From
trajectories it is the better one: transitions that chance brought are taken as they came, so that
a reward of states and actions has a likelihood where no policy has just the occupancy that was
counted.
"""

import numpy as np

from lightrec.users.irl.minimise import minimise
from lightrec.users.irl.soft_policy import (
    Array,
    Indices,
    SoftPolicy,
    TabularProcess,
    action_occupancy,
    by_action,
    occupancy,
    soft_policy,
)
from lightrec.users.irl.tabular import (
    TabularReward,
    check_trajectories,
    features_table,
    reward_of,
    start_of,
)


def log_likelihood(
    process: TabularProcess, reward: Array, states: Indices, actions: Indices
) -> tuple[float, Array]:
    """Give the mean log-likelihood Σ_t log π_t(a_t | s_t) of trajectories, and its gradient.

    The gradient goes back through the soft Bellman equations: a step that was seen adds what would
    have followed it, and takes off what would have followed the policy in its place.

    :param reward: (S,) or (S, A).
    :param states: (N, T) int, T = H with a horizon: the states in which something was done.
    :param actions: (N, T) int: what was done.
    :returns: nats, and the gradient in the shape of the reward.
    """
    check_trajectories(process, states, actions, False)
    value, gradient, _ = _of_counts(process, reward, _counts(process, states, actions), None)
    return value, gradient


def fit_demonstrations(
    process: TabularProcess,
    states: Indices,
    actions: Indices,
    features: Array | None = None,
    *,
    by_state: bool = False,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
) -> TabularReward:
    """Find the reward of highest likelihood. With γ = 0 this is the conditional logit.

    Without a ridge, a reward of states and actions that were never taken goes towards minus
    infinity, as in every logit; the search ends where the gradient is within the tolerance. With
    γ > 0 the likelihood of few trajectories need not be concave: what is found is a maximum near 0.

    :param states: (N, T) int, T = H with a horizon: the states in which something was done.
    :param actions: (N, T) int: what was done.
    :param features: (S, F) or (S, A, F); by default every state, or every action in every state,
        has a reward of its own.
    :param by_state: whether that is every state.
    :param ridge: ρ of the penalty ρ/2 · Σ weight² on the mean log-likelihood of a trajectory.
    :param tolerance: of the gradient.
    :returns: as :func:`~lightrec.users.irl.tabular.fit_occupancy`, ``gap`` being the gradient's
        largest entry.
    :raises DataError: where shapes do not fit or an index is out of range.
    """
    check_trajectories(process, states, actions, False)
    shape: tuple[int, ...] = (process.states, process.actions)
    if by_state if features is None else np.ndim(features) == 2:
        shape = shape[:1]
    table = features_table(features, shape)
    counts = _counts(process, states, actions)
    last: SoftPolicy | None = None

    def descend(weights: Array) -> tuple[float, Array]:
        nonlocal last
        reward = reward_of(weights, table, shape)
        begin = last.value if last is not None and process.horizon is None else None
        value, gradient, last = _of_counts(process, reward, counts, begin)
        flat = gradient.ravel() if table is None else table.T @ gradient.ravel()
        return float(ridge / 2 * weights @ weights - value), ridge * weights - flat

    seen = counts if process.horizon is None else counts.sum(0)
    _, scale = start_of(seen if len(shape) == 2 else seen.sum(1), table)
    weights, gap, evaluations = minimise(descend, np.zeros(len(scale)), scale, tolerance)
    reward = reward_of(weights, table, shape)
    policy = soft_policy(process, reward).probabilities
    count = occupancy if len(shape) == 1 else action_occupancy
    return TabularReward(weights, reward, policy, count(process, policy), gap, evaluations)


def _counts(process: TabularProcess, states: Indices, actions: Indices) -> Array:
    """Mean number of times (H, S, A) by step, or (S, A) without a horizon."""
    trajectories, length = np.shape(states)
    counts = np.zeros((length, process.states, process.actions))
    np.add.at(counts, (np.arange(length), states, actions), 1 / trajectories)
    return counts if process.horizon else counts.sum(0)


def _of_counts(
    process: TabularProcess, reward: Array, counts: Array, start: Array | None
) -> tuple[float, Array, SoftPolicy]:
    by_action(process, reward)
    solved = soft_policy(process, reward, start)
    logs = solved.action_value - solved.value[..., None]
    value = float((counts * logs).sum())
    if process.horizon is None:
        gradient, back = _endless_gradient(process, counts, solved.probabilities), None
    else:
        gradient, back = _gradient(process, counts, solved.probabilities)
    if np.ndim(reward) == 2:
        return value, gradient, solved
    total = gradient.sum(1)
    return value, total if back is None or not process.final_visit else total + back, solved


def _gradient(process: TabularProcess, counts: Array, policy: Array) -> tuple[Array, Array]:
    """Give the gradient (S, A) by the rewards of all steps, and (S,) by the final one's."""
    flat = process.transitions.reshape(-1, process.states)
    total = np.zeros(counts.shape[1:])
    arriving = np.zeros(process.states)
    for seen, chosen in zip(counts, policy, strict=True):
        by_q = seen + (arriving - seen.sum(1))[:, None] * chosen
        total += by_q
        arriving = process.discount * (by_q.ravel() @ flat)
    return total, arriving


def _endless_gradient(process: TabularProcess, counts: Array, policy: Array) -> Array:
    flat = process.transitions.reshape(-1, process.states)
    moves = np.einsum("sa,sat->st", policy, process.transitions)
    arriving = process.discount * (counts.ravel() @ flat) - counts.sum(1)
    system = np.eye(process.states) - process.discount * moves.T
    found: Array = counts + np.linalg.solve(system, arriving)[:, None] * policy
    return found
