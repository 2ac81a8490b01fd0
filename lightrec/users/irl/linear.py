"""A reward that is linear in features, by maximum likelihood, with confidence intervals.

P(i | s, set) ∝ exp(θ · φ(s, i) + offset(s, i)), nothing having utility 0 (McFadden 1974). Where
users look ahead the offset is what a choice does for later offers, γ' (W(s after i) - W(s after
nothing)), so that θ · φ is the reward. The log-likelihood is concave: Newton's method finds θ.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.stats import t as student
from torch import Tensor

from lightrec.errors import DataError

STEPS = 100
"""At most so many of Newton's steps; some five are usual."""


class LinearSets(NamedTuple):
    """Choices from sets (R of them), as features."""

    features: Tensor
    """(R, C, F)."""
    offset: Tensor
    """(R, C): what is added to utilities; minus infinity in empty places."""
    choice: Tensor
    """(R,) int64: the slot taken, or C for nothing."""
    weight: Tensor
    """(R,)."""
    user: Tensor
    """(R,) int64: who chose."""


@dataclass(frozen=True)
class LinearReward:
    """Weights with their intervals."""

    weights: Tensor
    """(F,) float64, in nats a unit of the feature."""
    covariance: Tensor
    """(F, F), of the weights."""
    users: int
    """How many independent people chose."""
    log_likelihood: float
    """Mean of a weighted choice, in nats."""

    @property
    def errors(self) -> Tensor:
        """(F,) standard errors."""
        return self.covariance.diagonal().clamp_min(0).sqrt()

    def intervals(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (F,) of Student's intervals with one degree less than users."""
        wide = float(student.ppf((1 + level) / 2, self.users - 1)) * self.errors
        return self.weights - wide, self.weights + wide


def fit_linear(
    sets: Sequence[LinearSets], ridge: float = 1e-6, tolerance: float = 1e-9
) -> LinearReward:
    """Fit θ; intervals allow for choices of one user that depend on each other.

    The covariance is the sandwich H⁻¹ (Σ g gᵀ) H⁻¹ over users, g being the sum of a user's scores
    (Liang and Zeger 1986), times users / (users - 1): right also where the model is not, and where
    assumed sets are used several times.

    :param sets: batches.
    :param ridge: a penalty ridge/2 · Σ θ² on the mean log-likelihood, against features that say
        the same.
    :param tolerance: of the mean gradient's largest entry.
    :raises DataError: where there are no sets, fewer than two users, or features that are not
        finite.
    """
    _check(sets)
    size = sets[0].features.shape[-1]
    weights = torch.zeros(size, dtype=torch.float64)
    total = sum(float(part.weight.double().sum()) for part in sets)
    penalty = ridge * total * torch.eye(size, dtype=torch.float64)
    value, gradient, hessian = _sums(sets, weights)
    for _ in range(STEPS):
        slope = gradient - penalty @ weights
        if float(slope.abs().max()) <= tolerance * total:
            break
        step = torch.linalg.lstsq(hessian + penalty, slope.unsqueeze(1)).solution.squeeze(1)
        before = value - float(weights @ penalty @ weights) / 2
        # A full step may go too far where utilities are large; half of it, and so on, does not.
        for _ in range(40):
            moved = weights + step
            value, gradient, hessian = _sums(sets, moved)
            if value - float(moved @ penalty @ moved) / 2 >= before - 1e-12 * abs(before):
                break
            step = step / 2
        weights = moved
    bread = torch.linalg.pinv(hessian + penalty, hermitian=True)
    meat, users = _by_user(sets, weights)
    covariance = bread @ meat @ bread * users / (users - 1)
    return LinearReward(weights, covariance, users, value / total)


def linear_log_likelihood(sets: Iterable[LinearSets], weights: Tensor) -> float:
    """Mean log-likelihood of weighted choices under given weights (F,), in nats; NaN of none."""
    value = total = 0.0
    for part in sets:
        value += float(part.weight.double() @ _parts(part, weights)[0])
        total += float(part.weight.double().sum())
    return value / total if total else float("nan")


def _parts(sets: LinearSets, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihoods (R,), chances (R, C) and what was taken less them (R, C)."""
    scores = sets.features.double() @ weights + sets.offset.double()
    logs = torch.cat([scores, torch.zeros_like(scores[:, :1])], 1).log_softmax(1)
    chances = logs.exp()
    taken = torch.nn.functional.one_hot(sets.choice, logs.shape[1]).double()
    told = logs.gather(1, sets.choice.unsqueeze(1)).squeeze(1)
    return told, chances[:, :-1], (taken - chances)[:, :-1]


def _sums(sets: Sequence[LinearSets], weights: Tensor) -> tuple[float, Tensor, Tensor]:
    """The weighted log-likelihood, its gradient (F,) and minus its Hessian (F, F)."""
    size = len(weights)
    value, gradient = 0.0, torch.zeros(size, dtype=torch.float64)
    hessian = torch.zeros(size, size, dtype=torch.float64)
    for part in sets:
        told, chances, left = _parts(part, weights)
        weight, features = part.weight.double(), part.features.double()
        value += float(weight @ told)
        gradient += torch.einsum("rc,rcf->f", weight.unsqueeze(1) * left, features)
        flat = features.flatten(0, 1)
        mean = torch.einsum("rc,rcf->rf", chances, features)
        share = (weight.unsqueeze(1) * chances).flatten().unsqueeze(1)
        hessian += flat.T @ (share * flat) - mean.T @ (weight.unsqueeze(1) * mean)
    return value, gradient, hessian


def _by_user(sets: Sequence[LinearSets], weights: Tensor) -> tuple[Tensor, int]:
    """Σ g gᵀ (F, F) over the users' scores, and how many users there are."""
    users, place = torch.cat([part.user for part in sets]).unique(return_inverse=True)
    scores = torch.zeros(len(users), len(weights), dtype=torch.float64)
    begin = 0
    for part in sets:
        _, _, left = _parts(part, weights)
        each = torch.einsum(
            "rc,rcf->rf", part.weight.double().unsqueeze(1) * left, part.features.double()
        )
        scores.index_add_(0, place[begin : begin + len(each)], each)
        begin += len(each)
    return scores.T @ scores, len(users)


def _check(sets: Sequence[LinearSets]) -> None:
    if not sets or torch.cat([part.user for part in sets]).unique().numel() < 2:
        raise DataError(
            "A linear reward with intervals needs the choices of two users or more; there are "
            "fewer. Give more of the log."
        )
    for part in sets:
        if not part.features.isfinite().all():
            raise DataError(
                "Some features are NaN or infinite; fill what is not known with the feature's mean."
            )
