"""Maximum-causal-entropy inverse reinforcement learning in a finite process, solved exactly.

For worlds whose states can be enumerated. Ziebart (2010), "Modeling purposeful adaptive behavior
with the principle of maximum causal entropy", chapter 9: among all policies that visit everything
as often as the expert does, the one of highest causal entropy is soft-optimal for a reward, and
that reward is the solution of the concave dual

    max over r of  Σ d(s, a) r(s, a) - E V_r(s_0),

whose gradient is the expert's occupancy d minus that of the policy. Float64 NumPy.

A final state that is rewarded and visited too, without an action, is one more step of the horizon:
under a reward of states its action changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, root

from lightrec.errors import DataError, RecipeError

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

ROUNDING = 1e-9
"""By how much probabilities may fail to sum to 1."""
NEWTON_STEPS = 200
"""Soft policy iteration converges quadratically: some ten steps are usual."""
SEARCH = 1000
"""At most so many evaluations of the search for a reward."""
ATTAINABLE, LEAST = 1e-6, 1e-9
"""Shares of all visits: by which an occupancy may miss its sum, and the least that counts."""


@dataclass(frozen=True)
class TabularProcess:
    """A finite decision process of S states and A actions, without a reward.

    :param transitions: (S, A, S), the probability of each next state.
    :param initial: (S,), the probability of each first state.
    :param horizon: actions H of a trajectory; None for trajectories that never end, whose occupancy
        is discounted.
    :param discount: γ, from 0 to 1; below 1 without a horizon.
    :raises DataError: where shapes do not fit or probabilities are none.
    :raises RecipeError: where horizon or discount is out of range.
    """

    transitions: Array
    initial: Array
    horizon: int | None = None
    discount: float = 1.0

    def __post_init__(self) -> None:
        states = len(self.initial)
        if np.ndim(self.transitions) != 3 or self.transitions.shape[::2] != (states, states):
            raise DataError(
                f"Transitions have shape {np.shape(self.transitions)} and the initial distribution "
                f"{np.shape(self.initial)}; they must be (S, A, S) and (S,)."
            )
        for name, law in (("Transitions", self.transitions), ("The initial law", self.initial)):
            if not (law >= 0).all() or abs(law.sum(-1) - 1).max() > ROUNDING:
                sums = f"between {law.sum(-1).min()} and {law.sum(-1).max()}"
                raise DataError(f"{name} must be probabilities, of sum 1; the sums are {sums}.")
        limit = 1.0 if self.horizon else 1 - ROUNDING
        if not 0 <= self.discount <= limit or (self.horizon is not None and self.horizon < 1):
            raise RecipeError(
                f"discount is {self.discount} and horizon {self.horizon}; the discount must lie "
                "between 0 and 1, and below 1 where there is no horizon; a horizon is 1 or more."
            )


class SoftPolicy(NamedTuple):
    """The soft-optimal policy of a reward, π(a | s) = exp(Q(s, a) - V(s))."""

    probabilities: Array
    """(H, S, A), or (S, A) without a horizon."""
    value: Array
    """(H, S), or (S,) without a horizon: V, the rewards to come plus the entropy of the actions."""


def soft_policy(process: TabularProcess, reward: Array, start: Array | None = None) -> SoftPolicy:
    """Solve the soft Bellman equations Q = r + γ E V(s'), V = log Σ exp Q (Ziebart 2010, eq. 9.1).

    With a horizon by backward induction; without one by soft policy iteration, which is Newton's
    method on the same equations.

    :param reward: (S,) of states or (S, A) of states and actions.
    :param start: (S,) values to begin with where there is no horizon.
    :raises DataError: where the reward has another shape, or a number is not finite.
    """
    _check_shape(process, reward, "reward")
    states, actions, _ = process.transitions.shape
    full = np.repeat(reward[:, None], actions, 1) if reward.ndim == 1 else reward
    if process.horizon is None:
        return _endless(process, full, np.zeros(states) if start is None else start)
    values = np.zeros((process.horizon + 1, states))
    policy = np.empty((process.horizon, states, actions))
    for step in reversed(range(process.horizon)):
        action_value = full + process.discount * (process.transitions @ values[step + 1])
        values[step] = np.logaddexp.reduce(action_value, axis=-1)
        policy[step] = np.exp(action_value - values[step, :, None])
    return SoftPolicy(policy, values[:-1])


def _endless(process: TabularProcess, reward: Array, value: Array) -> SoftPolicy:
    transitions, discount = process.transitions, process.discount
    gap = np.inf
    for _ in range(NEWTON_STEPS):
        action_value = reward + discount * transitions @ value
        better = np.logaddexp.reduce(action_value, axis=-1)
        policy = np.exp(action_value - better[:, None])
        last, gap = gap, float(abs(better - value).max())
        # At the rounding of V itself further steps gain nothing.
        if gap <= 1e-12 * (1 + abs(value).max()) or (gap < 1e-8 and gap >= last):
            return SoftPolicy(policy, better)
        moves = np.einsum("sa,sat->st", policy, transitions)
        value = value + np.linalg.solve(np.eye(len(value)) - discount * moves, better - value)
    raise DataError(
        f"Soft policy iteration has not converged after {NEWTON_STEPS} steps (error {gap:.1e}); "
        "look for rewards that are not finite, or lower the discount."
    )


def _check_shape(process: TabularProcess, values: Array, name: str) -> None:
    states, actions, _ = process.transitions.shape
    if values.shape not in ((states,), (states, actions)):
        raise DataError(
            f"The {name} has shape {values.shape}; it must be (S,) = ({states},) or "
            f"(S, A) = ({states}, {actions})."
        )
    if not np.isfinite(values).all():
        raise DataError(f"{(~np.isfinite(values)).sum()} numbers of the {name} are not finite.")


def visits(process: TabularProcess, policy: Array) -> Array:
    """Give the expected visits of each state with each action, discounted by γ^t.

    :param policy: (H, S, A) or (S, A) probabilities; (S, A) with a horizon stays the same.
    :returns: with a horizon (H, S, A) by step; without one (S, A), summing to 1 / (1 - γ).
    """
    transitions, discount = process.transitions, process.discount
    states = len(process.initial)
    if process.horizon is None:
        moves = np.einsum("sa,sat->st", policy, transitions)
        count = np.linalg.solve(np.eye(states) - discount * moves.T, process.initial)
        return count[:, None] * policy
    steps = np.broadcast_to(policy, (process.horizon, *policy.shape[-2:]))
    found = np.empty(steps.shape)
    now = process.initial
    for step, chosen in enumerate(steps):
        found[step] = now[:, None] * chosen
        now = discount * (found[step].ravel() @ transitions.reshape(-1, states))
    return found


def occupancy(process: TabularProcess, policy: Array, *, actions: bool = False) -> Array:
    """Give the expected discounted visits of a trajectory: (S,), or (S, A) by ``actions``.

    :param policy: as :func:`visits`.
    """
    by_step = visits(process, policy)
    total: Array = by_step if process.horizon is None else by_step.sum(0)
    return total if actions else total.sum(-1)


class TabularReward(NamedTuple):
    """A learned reward, and how well its policy imitates the expert."""

    weights: Array
    """(F,), one a feature; the reward itself where no features were given."""
    reward: Array
    """(S,) or (S, A). Compare policies rather than rewards: a potential of states changes none."""
    policy: Array
    """(H, S, A), or (S, A) without a horizon; ``occupancy`` is its (S,) or (S, A)."""
    occupancy: Array
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

    No policy may have an occupancy that few demonstrations show. Then the dual has no maximum, and
    a ridge gives it one: features are matched up to ridge · weight (Dudík et al. 2007).

    :param expert: (S,) for a reward of states, or (S, A) for one of states and actions: expected
        discounted visits of a trajectory, as :func:`occupancy` counts them.
    :param features: (S, F) or (S, A, F); the reward is features · weights. None for a reward of
        every entry's own.
    :param ridge: ρ of the penalty ρ/2 · Σ weight².
    :param tolerance: the gap at which the search ends.
    :raises DataError: where shapes do not fit, or the visits do not sum to those of a trajectory.
    """
    _check_shape(process, expert, "expert's occupancy")
    steps, discount = process.horizon or np.inf, process.discount
    total = steps if discount == 1 else (1 - discount**steps) / (1 - discount)
    if abs(expert.sum() - total) > ATTAINABLE * total:
        raise DataError(
            f"The expert's occupancy sums to {expert.sum():.6g}; discounted visits of a trajectory "
            f"of this process sum to {total:.6g}. Count the same visits as the process does, do "
            "not normalise, and do not cut trajectories."
        )
    by_action = expert.ndim == 2
    table = np.eye(expert.size)
    if features is not None:
        if features.shape[:-1] != expert.shape or not np.isfinite(features).all():
            raise DataError(
                f"The features have shape {features.shape}; they must be finite numbers of shape "
                f"({', '.join(map(str, expert.shape))}, F)."
            )
        table = features.reshape(-1, features.shape[-1])
    wanted = table.T @ expert.ravel()
    start = np.zeros(len(process.initial))

    def descend(weights: Array) -> tuple[float, Array]:
        nonlocal start
        solved = soft_policy(process, (table @ weights).reshape(expert.shape), start)
        first = solved.value if process.horizon is None else solved.value[0]
        start = first  # the next reward is near
        seen = occupancy(process, solved.probabilities, actions=by_action).ravel()
        loss = process.initial @ first - wanted @ weights + ridge / 2 * weights @ weights
        return float(loss), table.T @ seen - wanted + ridge * weights

    # About one over the root of each weight's curvature, in which the search measures them.
    counted = np.maximum(expert, LEAST * expert.sum())
    scale = (np.maximum(table**2, LEAST).T @ counted.ravel()) ** -0.5
    weights = np.zeros(table.shape[1])
    if features is None and by_action:
        # Where the expert's policy is that of every step, its logarithm is one of its rewards.
        weights = np.log(counted / counted.sum(-1, keepdims=True)).ravel()
    weights, evaluations = _minimised(descend, weights, scale, tolerance)
    reward = (table @ weights).reshape(expert.shape)
    policy = soft_policy(process, reward, start).probabilities
    found = occupancy(process, policy, actions=by_action)
    gap = abs(table.T @ (found - expert).ravel()).max()
    return TabularReward(weights, reward, policy, found, float(gap), evaluations)


def _minimised(
    function: Callable[[Array], tuple[float, Array]], start: Array, scale: Array, tolerance: float
) -> tuple[Array, int]:
    """Minimise a convex function of up to some hundred variables (F,).

    L-BFGS ends where values no longer separate points, at a gradient of about the root of their
    rounding. From there Levenberg and Marquardt's method solves for a gradient of 0.

    :param scale: (F,) about one over the root of each variable's curvature.
    :param tolerance: of the gradient's largest entry.
    :returns: the point, and how often the function was evaluated.
    """

    def scaled(point: Array) -> tuple[float, Array]:
        value, gradient = function(point * scale)
        return value, gradient * scale

    options = {"maxcor": 30, "ftol": 0.0, "maxfun": SEARCH, "maxiter": SEARCH}
    options["gtol"] = tolerance * float(scale.min())
    found = minimize(scaled, start / scale, jac=True, method="L-BFGS-B", options=options)
    point, evaluations = found.x * scale, int(found.nfev) + 1
    gradient = function(point)[1]
    if abs(gradient).max() <= tolerance:
        return point, evaluations
    polished = root(lambda each: function(each)[1], point, method="lm")
    better = abs(polished.fun).max() < abs(gradient).max()
    return (polished.x if better else point), evaluations + int(polished.nfev)


def empirical_occupancy(
    process: TabularProcess, states: Indices, actions: Indices | None = None
) -> Array:
    """Count the mean discounted visits of demonstrated trajectories, of H steps where there is one.

    :param states: (N, T) int.
    :param actions: (N, T) int: what was done there; None to count states alone.
    :returns: (S,), or (S, A) with actions.
    :raises ValueError: where a number is not one of a state or an action.
    """
    places = (states,) if actions is None else (states, actions)
    shape = process.transitions.shape[: len(places)]
    cells = np.ravel_multi_index(places, shape).ravel()
    weight = process.discount ** np.arange(states.shape[1]) / len(states)
    spread = np.broadcast_to(weight, states.shape).ravel()
    counted: Array = np.bincount(cells, spread, int(np.prod(shape))).astype(float)
    return counted.reshape(shape)
