"""Maximum-causal-entropy inverse reinforcement learning in a finite process, solved exactly.

The oracle by which other learners are tested, and the method of choice where states can be
enumerated. Ziebart (2010), "Modeling purposeful adaptive behavior with the principle of maximum
causal entropy", chapter 9: among all policies that visit everything as often as the expert does,
the one of highest causal entropy is soft-optimal for a reward, and that reward is the solution of
the concave dual

    max over r of  Σ d(s, a) r(s, a) - E V_r(s_0),

whose gradient is the expert's occupancy d minus that of the policy. It is solved here with L-BFGS.
"""

from dataclasses import dataclass

import numpy as np

from lightrec.errors import DataError
from lightrec.users.irl.minimise import minimise
from lightrec.users.irl.soft_policy import (
    Array,
    Indices,
    TabularProcess,
    action_occupancy,
    by_action,
    occupancy,
    soft_policy,
)

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
    :func:`~lightrec.users.irl.tabular_likelihood.fit_demonstrations`.

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
