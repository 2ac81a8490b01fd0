"""Soft-optimal behaviour in a finite decision process: its policy, values and occupancy, exactly.

Float64 NumPy, for worlds whose states can be enumerated. What is learned from behaviour is in
:mod:`lightrec.users.irl.tabular`.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightrec.errors import DataError, RecipeError

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

ROUNDING = 1e-9
"""By how much probabilities may fail to sum to 1."""
NEWTON_STEPS = 200
"""Soft policy iteration converges quadratically: some ten steps are usual."""


@dataclass(frozen=True)
class TabularProcess:
    """A finite decision process without a reward.

    :param transitions: (S, A, S), the probability of each next state.
    :param initial: (S,), the probability of each first state.
    :param horizon: actions H of a trajectory; None for trajectories that never end, whose occupancy
        is discounted.
    :param discount: γ, from 0 to 1; below 1 without a horizon.
    :param final_visit: whether the state that the last action leads to is rewarded and counted too,
        so that a trajectory has H + 1 visits; needs a horizon and a reward of states alone.
    :raises DataError: where shapes do not fit or probabilities are none.
    :raises RecipeError: where horizon, discount and final visit do not go together.
    """

    transitions: Array
    initial: Array
    horizon: int | None = None
    discount: float = 1.0
    final_visit: bool = False

    def __post_init__(self) -> None:
        transitions = np.asarray(self.transitions, float)
        initial = np.asarray(self.initial, float)
        object.__setattr__(self, "transitions", transitions)
        object.__setattr__(self, "initial", initial)
        states = len(initial)
        if initial.ndim != 1 or transitions.ndim != 3 or transitions.shape[::2] != (states, states):
            raise DataError(
                f"Transitions have shape {transitions.shape} and the initial distribution "
                f"{initial.shape}; they must be (S, A, S) and (S,)."
            )
        for name, given in (("Transitions", transitions), ("The initial distribution", initial)):
            if not (given >= 0).all() or abs(given.sum(-1) - 1).max() > ROUNDING:
                raise DataError(
                    f"{name} must be probabilities: none below 0, and sums of 1; the sums found "
                    f"lie between {given.sum(-1).min()} and {given.sum(-1).max()}."
                )
        endless = self.horizon is None
        if not 0 <= self.discount <= 1 or (endless and self.discount == 1):
            raise RecipeError(
                f"discount is {self.discount}; it must lie between 0 and 1, and below 1 where "
                "there is no horizon."
            )
        if (self.horizon is not None and self.horizon < 1) or (endless and self.final_visit):
            raise RecipeError(
                f"horizon is {self.horizon} and final_visit {self.final_visit}; a horizon is 1 or "
                "more actions, and only with one there is a final visit."
            )

    @property
    def states(self) -> int:
        """S."""
        return int(self.transitions.shape[0])

    @property
    def actions(self) -> int:
        """A."""
        return int(self.transitions.shape[1])


@dataclass(frozen=True)
class SoftPolicy:
    """The soft-optimal policy of a reward, π(a | s) = exp(Q(s, a) - V(s)).

    With a horizon everything has a leading axis of the H steps; without one, none.
    """

    probabilities: Array
    """(H, S, A) or (S, A)."""
    value: Array
    """(H, S) or (S,): V, the rewards to come plus the entropy of what is done."""
    action_value: Array
    """(H, S, A) or (S, A): Q."""


def soft_policy(process: TabularProcess, reward: Array, start: Array | None = None) -> SoftPolicy:
    """Solve the soft Bellman equations Q = r + γ E V(s'), V = log Σ exp Q (Ziebart 2010, eq. 9.1).

    With a horizon by backward induction. Without one by soft policy iteration, which is Newton's
    method on the same equations and so ends at machine precision after a few linear solves.

    :param reward: (S,) of states or (S, A) of states and actions.
    :param start: (S,) values to begin with where there is no horizon.
    """
    full = by_action(process, reward)
    if process.horizon is None:
        return _endless(process, full, np.zeros(process.states) if start is None else start)
    values = np.zeros((process.horizon + 1, process.states))
    action_values = np.empty((process.horizon, process.states, process.actions))
    if process.final_visit:
        values[-1] = final_reward(process, reward)
    for step in reversed(range(process.horizon)):
        ahead = process.transitions @ values[step + 1]
        action_values[step] = full + process.discount * ahead
        values[step] = log_sum_exp(action_values[step])
    probabilities = np.exp(action_values - values[:-1, :, None])
    return SoftPolicy(probabilities, values[:-1], action_values)


def _endless(process: TabularProcess, reward: Array, value: Array) -> SoftPolicy:
    transitions, discount = process.transitions, process.discount
    gap = np.inf
    for _ in range(NEWTON_STEPS):
        action_value = reward + discount * transitions @ value
        better = log_sum_exp(action_value)
        policy = np.exp(action_value - better[:, None])
        last, gap = gap, float(abs(better - value).max())
        # At the rounding of V itself no step brings more.
        if gap <= 1e-12 * (1 + abs(value).max()) or (gap < 1e-8 and gap >= last):
            return SoftPolicy(policy, better, action_value)
        moves = np.einsum("sa,sat->st", policy, transitions)
        value = value + np.linalg.solve(np.eye(len(value)) - discount * moves, better - value)
    raise DataError(
        f"Soft policy iteration has not converged after {NEWTON_STEPS} steps (error {gap:.1e}); "
        "look for rewards that are not finite, or lower the discount."
    )


def visits(process: TabularProcess, policy: Array) -> Array:
    """Give how often each state is visited, and with which action, discounted by γ^t.

    :param policy: (H, S, A) or (S, A) probabilities; (S, A) with a horizon stays the same.
    :returns: with a horizon (H, S, A) by step; without one (S, A), summing to 1 / (1 - γ).
    """
    transitions, discount = process.transitions, process.discount
    if process.horizon is None:
        moves = np.einsum("sa,sat->st", policy, transitions)
        count = np.linalg.solve(np.eye(process.states) - discount * moves.T, process.initial)
        return count[:, None] * policy
    steps = np.broadcast_to(policy, (process.horizon, *policy.shape[-2:]))
    found = np.empty(steps.shape)
    flat = transitions.reshape(-1, process.states)
    now = process.initial
    for step, chosen in enumerate(steps):
        found[step] = now[:, None] * chosen
        now = discount * (found[step].ravel() @ flat)
    return found


def occupancy(process: TabularProcess, policy: Array) -> Array:
    """Give the expected discounted number of visits (S,) of each state, the final one included.

    Only where the process counts its final visit. Without a discount they sum to H or to H + 1.
    """
    by_step = visits(process, policy)
    if process.horizon is None:
        total: Array = by_step.sum(-1)
        return total
    total = by_step.sum((0, 2))
    if process.final_visit:
        total = total + process.discount * np.einsum("sa,sat->t", by_step[-1], process.transitions)
    return total


def action_occupancy(process: TabularProcess, policy: Array) -> Array:
    """Give the expected discounted number (S, A) of times that each action is taken in each state.

    :raises RecipeError: where the process counts a final visit, in which nothing is done.
    """
    if process.final_visit:
        raise RecipeError(
            "In the final visit no action is taken, so that there is no occupancy of states and "
            "actions; leave final_visit False, or use rewards of states alone."
        )
    by_step = visits(process, policy)
    total: Array = by_step if process.horizon is None else by_step.sum(0)
    return total


def by_action(process: TabularProcess, reward: Array) -> Array:
    """Spread a reward (S,) over actions, or check one (S, A).

    :raises DataError: where the shape is another, or a number is not finite.
    """
    reward = np.asarray(reward, float)
    if reward.shape not in ((process.states,), (process.states, process.actions)):
        raise DataError(
            f"The reward has shape {reward.shape}; it must be (S,) = ({process.states},) or "
            f"(S, A) = ({process.states}, {process.actions})."
        )
    if not np.isfinite(reward).all():
        raise DataError(f"{(~np.isfinite(reward)).sum()} rewards are not finite numbers.")
    if reward.ndim == 1:
        return np.repeat(reward[:, None], process.actions, 1)
    return reward


def final_reward(process: TabularProcess, reward: Array) -> Array:
    """Give the reward (S,) of a final visit.

    :raises RecipeError: where the reward asks for an action.
    """
    if np.ndim(reward) != 1:
        raise RecipeError(
            "In the final visit no action is taken: final_visit needs a reward of states alone, "
            f"(S,), and this one has shape {np.shape(reward)}."
        )
    return np.asarray(reward, float)


def log_sum_exp(values: Array) -> Array:
    """Log Σ exp over the last axis, without overflow."""
    top = values.max(-1)
    found: Array = top + np.log(np.exp(values - top[..., None]).sum(-1))
    return found
