"""Estimators for trajectories: what a policy would earn in a whole session.

Names and formulas follow Kiyohara et al. 2023, "SCOPE-RL".
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightrec.errors import DataError
from lightrec_ope.estimators.estimate import (
    Estimator,
    Parts,
    averaged,
    improper,
    needed,
    never_shown,
)
from lightrec_ope.estimators.models import by_user


@dataclass(frozen=True)
class SequenceLog:
    """N trajectories of T steps at most.

    :param action: (N, T) int64, from 0, of A actions.
    :param reward: (N, T).
    :param target: (N, T, A) the probabilities with which the policy that is judged takes each
        action in the state at hand.
    :param propensity: (N, T) of what was done; None where it is not known.
    :param there: (N, T) bool, which steps were taken; None for all.
    :param discount: γ.
    :param expected: (N, T, A) values of actions under the policy that is judged, by a model of
        other users' trajectories, see :func:`fitted_values`.
    :param users: (N,) whose trajectories depend on each other.
    :param behavior: as ``target``, of the policy that made the log; None where it is not known.
    :raises DataError: where a propensity of a step that was taken is not above 0 and at most 1.
    """

    action: Tensor
    reward: Tensor
    target: Tensor
    propensity: Tensor | None = None
    there: Tensor | None = None
    discount: float = 1.0
    expected: Tensor | None = None
    users: Tensor | None = None
    behavior: Tensor | None = None

    def __post_init__(self) -> None:
        if self.propensity is not None and (wrong := improper(self.propensity[self.taken])):
            raise DataError(wrong)

    @property
    def taken(self) -> Tensor:
        """(N, T) bool."""
        return torch.ones_like(self.action, dtype=torch.bool) if self.there is None else self.there

    @property
    def ratios(self) -> Tensor:
        """How much more likely the policy is to take each step, (N, T); 1 after the last one."""
        (propensity,) = needed(self, "propensity")
        of_shown = self.target.double().gather(2, self.action[:, :, None]).squeeze(2)
        return (of_shown / propensity.double()).where(self.taken, 1.0)

    @property
    def uncovered(self) -> float:
        """The share of what the policy does at the log's steps that the log cannot show."""
        behavior = None if self.behavior is None else self.behavior[self.taken]
        return never_shown(self.target[self.taken], behavior, self.action[self.taken])

    @property
    def counts(self) -> Tensor:
        """(N, T) by how much a step counts at the beginning."""
        steps = self.discount ** torch.arange(self.action.shape[1], dtype=torch.float64)
        return steps * self.taken

    @property
    def discounted(self) -> Tensor:
        """(N, T) rewards as they count at the beginning."""
        return self.reward.double() * self.counts


class PerDecisionIPS(Estimator[SequenceLog]):
    """Each reward weighted by the steps up to it (Precup et al. 2000).

    :param normalized: whether weights are divided by their mean at each step.
    """

    def __init__(self, normalized: bool = False) -> None:
        self.normalized = normalized

    def parts(self, log: SequenceLog) -> Parts:
        """The weighted sum over a trajectory's steps."""
        weights, reward = log.ratios.cumprod(1), log.discounted
        values = averaged(weights, reward, self.normalized).sum(1)
        return Parts(values, weights[:, -1], reward.abs().sum(1), log.uncovered)


class SequentialDR(PerDecisionIPS):
    """Per-decision IPS of what the model of values misses (Jiang and Li 2016)."""

    def parts(self, log: SequenceLog) -> Parts:
        """Terms w_k · (r_k - q_k) + w_(k-1) · E[q_k], discounted and summed over the steps k."""
        weights, reward = log.ratios.cumprod(1), log.discounted
        expected = needed(log, "expected")[0].double() * log.counts[:, :, None]
        of_shown = expected.gather(2, log.action[:, :, None]).squeeze(2)
        before = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], 1)
        values = averaged(weights, reward - of_shown, self.normalized)
        values += averaged(before, (expected * log.target.double()).sum(2), self.normalized)
        return Parts(values.sum(1), weights[:, -1], reward.abs().sum(1), log.uncovered)


def fitted_values(
    log: SequenceLog, features: Tensor, penalty: float = 1.0, seed: int = 0
) -> SequenceLog:
    """Fit the values of actions under the policy that is judged: fitted Q evaluation.

    Backwards from the last step, each step's value is a ridge regression of its reward and the
    policy's expected value of the next step (Le et al. 2019), an own linear function of the
    features for each action. It is cross-fitted: each fold of users has the values of a model
    that learned from all others.

    :param features: (N, T, F) of states; a constant is added.
    :param penalty: of the regression.
    :param seed: of the folds.
    :returns: the log with ``expected``.
    :raises DataError: where there is one user alone.
    """
    one = torch.ones(*log.action.shape, 1, dtype=torch.float64)
    inputs = torch.cat([features.double(), one], 2)
    values = torch.zeros(log.target.shape, dtype=torch.float64)
    for train, rest in by_user(log.users, len(inputs), seed):
        values[rest] = _fitted(log, inputs, train, penalty)[rest]
    return replace(log, expected=values)


def _fitted(log: SequenceLog, inputs: Tensor, train: Tensor, penalty: float) -> Tensor:
    """Values of all actions (N, T, A) as some trajectories tell them."""
    learned = torch.zeros_like(log.taken)
    learned[train] = log.taken[train]
    values = torch.zeros(log.target.shape, dtype=torch.float64)
    after = torch.zeros(len(inputs), dtype=torch.float64)
    eye = penalty * torch.eye(inputs.shape[2], dtype=torch.float64)
    for step in range(inputs.shape[1] - 1, -1, -1):
        goal = log.reward[:, step].double() + log.discount * after
        for action in range(values.shape[2]):
            rows = learned[:, step] & (log.action[:, step] == action)
            x, y = inputs[rows, step], goal[rows]
            if len(y):
                slope = torch.linalg.solve(x.T @ x + eye, x.T @ y)
                values[:, step, action] = inputs[:, step] @ slope
        now = (log.target[:, step].double() * values[:, step]).sum(1)
        after = now.where(log.taken[:, step], 0.0)
    return values
