"""Maximum-causal-entropy inverse reinforcement learning in a finite process, solved exactly.

The oracle by which other learners are tested, and the method of choice where states can be
enumerated. Ziebart (2010), "Modeling purposeful adaptive behavior with the principle of maximum
causal entropy", chapter 9: among all policies that visit everything as often as the expert does,
the one of highest causal entropy is soft-optimal for a reward, and that reward is the solution of
the concave dual

    max over r of  Σ d(s, a) r(s, a) - E V_r(s_0),

whose gradient is the expert's occupancy d minus that of the policy. It is solved here with L-BFGS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize

from lightrec.errors import DataError
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

Function: TypeAlias = Callable[[Array], tuple[float, Array]]
"""Gives value and gradient (F,) at a point (F,)."""

SEARCH, POLISH = 1000, 6
"""At most so many evaluations of the search, and so many of Newton's steps after it."""
STEP = 1e-6
"""Of the finite differences; their error costs Newton's steps some of their speed, nothing else."""


def minimise(
    function: Function, start: Array, scale: Array, tolerance: float
) -> tuple[Array, float, int]:
    """Minimise a smooth function of up to some hundred variables.

    L-BFGS ends where the function's value no longer tells two points apart, at a gradient of about
    the root of its rounding, or crawls where the problem is ill-conditioned. A few of Newton's
    steps, whose matrix is made of differences of the gradient, go on from there; each is taken only
    where it brings the gradient down without raising the value. Flat directions are left alone.

    :param start: (F,).
    :param scale: (F,) above 0: about one over the root of each variable's curvature.
    :param tolerance: of the gradient's largest entry.
    :returns: the point, its gradient's largest entry, and how often the function was evaluated.
    """

    def scaled(point: Array) -> tuple[float, Array]:
        value, gradient = function(point * scale)
        return value, gradient * scale

    found = minimize(
        scaled,
        start / scale,
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": 30,
            "ftol": 0.0,
            "gtol": tolerance * float(scale.min()),
            "maxfun": SEARCH,
            "maxiter": SEARCH,
        },
    )
    point, evaluations = found.x * scale, int(found.nfev) + 1
    value, gradient = function(point)
    gap = float(abs(gradient).max())
    for _ in range(POLISH):
        if gap <= tolerance:
            break
        ahead = np.array([function(point + step)[1] for step in STEP * np.eye(len(point))])
        evaluations += len(point) + 1
        matrix = (ahead - gradient) / STEP
        step = np.linalg.lstsq((matrix + matrix.T) / 2, -gradient, rcond=STEP)[0]
        new_value, new_gradient = function(point + step)
        new_gap = float(abs(new_gradient).max())
        # Differences of the value below its rounding say nothing.
        if not (new_gap < gap and new_value <= value + 1e-9 * (1 + abs(value))):
            break
        point, value, gradient, gap = point + step, new_value, new_gradient, new_gap
    return point, gap, evaluations


ATTAINABLE = 1e-6
"""By how much, relative to all visits, an occupancy may miss the sum that its process has."""
LEAST = 1e-9
"""Where to begin, what the expert never does counts as so large a share of all that it does."""


@dataclass(frozen=True)
class TabularReward:
    """What was learned, and how well its policy does what the expert does."""

    weights: Array
    """(F,), one a feature; the reward itself where no features were given."""
    reward: Array
    """(S,) or (S, A). A state's potential may be added without changing the policy: compare
    policies and occupancies rather than rewards."""
    policy: Array
    """(H, S, A), or (S, A) without a horizon."""
    occupancy: Array
    """(S,) or (S, A), the policy's."""
    gap: float
    """The largest difference between the policy's expected features and the expert's."""
    evaluations: int
    """How often the soft Bellman equations were solved."""


def fit_occupancy(
    process: TabularProcess,
    expert: Array,
    features: Array | None = None,
    *,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
) -> TabularReward:
    """Find the reward whose soft-optimal policy has the expert's occupancy.

    An occupancy counted from few demonstrations may be one that no policy has; then the dual has no
    maximum, and a ridge gives it one: features are matched up to ridge · weight (Dudík et al.
    2007). For demonstrations see also
    :func:`~lightrec.users.irl.tabular.fit_demonstrations`.

    :param expert: (S,) for a reward of states, or (S, A) for one of states and actions: expected
        discounted visits of a trajectory, as
        :func:`~lightrec.users.irl.soft_policy.occupancy` counts them.
    :param features: (S, F) or (S, A, F); the reward is features · weights. By default every entry
        of the occupancy has a reward of its own.
    :param ridge: ρ of the penalty ρ/2 · Σ weight².
    :param tolerance: the gap at which the search ends; see ``gap`` of what is returned.
    :raises DataError: where shapes do not fit, or the visits do not sum to those of a trajectory.
    """
    expert = np.asarray(expert, float)
    by_action(process, expert)
    _check_total(process, expert)
    table = features_table(features, expert.shape)
    wanted = expert.ravel() if table is None else table.T @ expert.ravel()
    start = np.zeros(process.states)

    def visited(policy: Array) -> Array:
        count = occupancy if expert.ndim == 1 else action_occupancy
        return count(process, policy)

    def descend(weights: Array) -> tuple[float, Array]:
        nonlocal start
        reward = reward_of(weights, table, expert.shape)
        solved = soft_policy(process, reward, start)
        if process.horizon is None:
            start = solved.value  # the next reward is near
        first = solved.value if process.horizon is None else solved.value[0]
        seen = visited(solved.probabilities).ravel()
        expected = seen if table is None else table.T @ seen
        loss = process.initial @ first - wanted @ weights + ridge / 2 * weights @ weights
        return float(loss), expected - wanted + ridge * weights

    begin, scale = start_of(expert, table)
    weights, _, evaluations = minimise(descend, begin, scale, tolerance)
    reward = reward_of(weights, table, expert.shape)
    policy = soft_policy(process, reward, start).probabilities
    found = visited(policy)
    difference = (found - expert).ravel()
    gap = abs(difference if table is None else table.T @ difference).max()
    return TabularReward(weights, reward, policy, found, float(gap), evaluations)


def reward_of(weights: Array, table: Array | None, shape: tuple[int, ...]) -> Array:
    """Give the reward of weights: in the shape of the occupancy."""
    flat = weights if table is None else table @ weights
    return flat.reshape(shape)


def empirical_occupancy(
    process: TabularProcess, states: Indices, actions: Indices | None = None
) -> Array:
    """Count the mean discounted visits of demonstrated trajectories.

    :param states: (N, T) int: the states in which something was done, T = H with a horizon; where
        the process counts its final visit, (N, H + 1).
    :param actions: (N, T) int: what was done; None to count states alone.
    :returns: (S,), or (S, A) with actions. Without a horizon what comes after T steps is missing,
        γ^T of all.
    :raises DataError: where shapes do not fit or an index is out of range.
    """
    states = np.asarray(states)
    check_trajectories(process, states, actions, process.final_visit)
    weight = process.discount ** np.arange(states.shape[1]) / len(states)
    shape: tuple[int, ...] = (process.states,)
    place = states
    if actions is not None:
        shape = (process.states, process.actions)
        place = states * process.actions + np.asarray(actions)
    spread = np.broadcast_to(weight, states.shape)
    size = int(np.prod(shape))
    counted: Array = np.bincount(place.ravel(), spread.ravel(), minlength=size).astype(float)
    return counted.reshape(shape)


def check_trajectories(
    process: TabularProcess, states: Indices, actions: Indices | None, final: bool
) -> None:
    """Refuse trajectories that do not fit a process.

    :param final: whether the states hold the final visit.
    :raises DataError: where shapes do not fit or an index is out of range.
    """
    states = np.asarray(states)
    length = None if process.horizon is None else process.horizon + final
    if states.ndim != 2 or not states.size or (length is not None and states.shape[1] != length):
        raise DataError(
            f"The states have shape {states.shape}; expected is (N, {length or 'T'}), one row a "
            "trajectory."
        )
    if actions is not None and (final or np.shape(actions) != states.shape):
        raise DataError(
            f"The actions have shape {np.shape(actions)} and the states {states.shape}; they must "
            "be the same, and no action belongs to a final visit."
        )
    named = {"state": (states, process.states), "action": (actions, process.actions)}
    for name, (found, size) in named.items():
        if found is not None and not ((np.asarray(found) >= 0) & (np.asarray(found) < size)).all():
            raise DataError(
                f"Some {name} numbers are below 0 or above {size - 1}; number them from 0 on."
            )


def features_table(features: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Check features and lay them out as a table (S, F) or (S · A, F).

    :param shape: (S,) or (S, A).
    :raises DataError: where they have another shape or are not finite.
    """
    if features is None:
        return None
    features = np.asarray(features, float)
    if features.shape[:-1] != shape or not np.isfinite(features).all():
        raise DataError(
            f"The features have shape {features.shape}; they must be finite numbers of shape "
            f"({', '.join(map(str, shape))}, F)."
        )
    return features.reshape(-1, features.shape[-1])


def start_of(expert: Array, table: Array | None) -> tuple[Array, Array]:
    """Where to begin, and about one over the root of each weight's curvature."""
    visits = np.maximum(expert, LEAST * expert.sum())
    if table is not None:
        curvature = np.maximum(table**2, LEAST).T @ visits.ravel()
        return np.zeros(table.shape[1]), curvature**-0.5
    # Where the expert's policy is that of every step, its logarithm is one of its rewards.
    begin = np.log(visits / visits.sum(-1, keepdims=True)) if expert.ndim == 2 else 0 * visits
    return begin.ravel(), visits.ravel() ** -0.5


def _check_total(process: TabularProcess, expert: Array) -> None:
    steps = np.inf if process.horizon is None else process.horizon + process.final_visit
    discount = process.discount
    total = steps if discount == 1 else (1 - discount**steps) / (1 - discount)
    if abs(expert.sum() - total) > ATTAINABLE * total:
        raise DataError(
            f"The expert's occupancy sums to {expert.sum():.6g}; discounted visits of a trajectory "
            f"of this process sum to {total:.6g}. Count the same visits as the process does "
            "(final_visit adds one) and do not normalise; trajectories that were cut go to "
            "fit_demonstrations."
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
