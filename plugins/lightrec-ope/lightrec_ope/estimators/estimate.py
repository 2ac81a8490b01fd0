"""Estimates: a number, its interval, and whether it can be believed."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, Generic, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
import scipy
import torch
from torch import Tensor

from lightrec.errors import DataError
from lightrec.intervals import Interval, bootstrap_interval, reach, standard_error

IntervalName = Literal["student", "bootstrap"]
DRAWN: Final = 1_000
"""Units that a bootstrap draws at most: of more, random groups of like size stand together."""
UNCOVERED: Final = 0.05
"""A target that does more than this share of what the log never shows cannot be judged by it."""
FEW: Final = 20
"""With fewer effective rounds than this nothing is said,"""
SOME: Final = 100
"""with fewer than this it is weak,"""
RARE: Final = 30
"""and so it is with fewer effective rounds that have a reward,"""
FEW_USERS: Final = 20
"""or with fewer users, whose intervals hold the truth too seldom (Cameron, Gelbach and Miller 2008,
"Bootstrap-based improvements for inference with clustered errors", where few are 5 to 30)."""
HEAVY: Final = 0.7
"""A Pareto tail whose k is above has means that converge too slowly (Vehtari et al. 2024)."""
FAR: Final = 4.0
"""Standard errors by which the weights' mean may be away from 1."""
NEAR: Final = 1e-6
"""How far above 1 a propensity may be, for want of digits."""


class Verdict(StrEnum):
    """Whether an estimate can be believed."""

    USABLE = "usable"
    WEAK = "weak"
    UNUSABLE = "unusable"


@dataclass(frozen=True)
class Diagnosis:
    """The importance weights of an estimate, summed up.

    :param rounds: n.
    :param effective: effective sample size, (Σw)² / Σw² (Kish 1965).
    :param rewarded: the same of weighted rewards, (Σ abs(w r))² / Σ (w r)²: rounds with a reward,
        were all rewards of one size.
    :param mean: of the weights, which is 1 in expectation.
    :param error: of that mean.
    :param largest: weight.
    :param tail: Pareto's k of the largest weights; -inf where these are bounded by few values.
    :param uncovered: share of what the target does that the log never shows.
    """

    rounds: int
    effective: float
    rewarded: float
    mean: float
    error: float
    largest: float
    tail: float
    uncovered: float = 0.0

    @classmethod
    def of(cls, weights: Tensor, rewards: Tensor, uncovered: float = 0.0) -> "Diagnosis":
        """Look at weights and rewards, (n,) each."""
        error = float(weights.std() / len(weights) ** 0.5) if len(weights) > 1 else math.inf
        return cls(
            len(weights),
            effective_size(weights),
            effective_size((weights * rewards).abs()),
            float(weights.mean()),
            error,
            float(weights.max()),
            pareto_k(weights),
            uncovered,
        )

    def faults(self) -> list[tuple[Verdict, str]]:
        """Say what of the weights speaks against an estimate, and how much."""
        faults = []
        if self.effective < SOME:
            verdict = Verdict.UNUSABLE if self.effective < FEW else Verdict.WEAK
            faults.append((verdict, f"{self.effective:.0f} effective rounds"))
        if abs(self.mean - 1) > FAR * self.error:
            why = (
                f"the weights' mean is {self.mean:.3g} and must be 1: propensities are wrong, "
                "or the log lacks what the target does"
            )
            faults.append((Verdict.UNUSABLE, why))
        if self.tail > HEAVY:
            faults.append((Verdict.WEAK, f"a heavy tail of weights (Pareto k {self.tail:.2f})"))
        if self.rewarded < RARE:
            faults.append((Verdict.WEAK, f"{self.rewarded:.0f} effective rounds with a reward"))
        return faults


@dataclass(frozen=True)
class Estimate:
    """The value of a policy as a log tells it.

    :param value: mean reward a round or a trajectory.
    :param low: of the 95 % interval.
    :param high: of it.
    :param verdict: whether it can be believed.
    :param reasons: why not, in words.
    :param diagnosis: what the weights say; None where none are used.
    :param parts: (n,) float64, the rounds' parts, whose mean is the value.
    """

    value: float
    low: float
    high: float
    verdict: Verdict
    reasons: tuple[str, ...]
    diagnosis: Diagnosis | None
    parts: Tensor

    def __str__(self) -> str:
        """Number, interval, verdict and reasons; an unusable estimate shows no number."""
        return f"{self.brief}: {'; '.join(self.reasons)}" if self.reasons else self.brief

    @property
    def brief(self) -> str:
        """Number, interval and verdict without the reasons."""
        if self.verdict is Verdict.UNUSABLE:
            return "unusable"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g}), {self.verdict}"


def unusable(estimate: Estimate, why: str) -> Estimate:
    """Take an estimate back, for a reason that its own weights do not show."""
    return replace(estimate, verdict=Verdict.UNUSABLE, reasons=(why, *estimate.reasons))


class Log(Protocol):
    """The attributes that every log of an estimator has."""

    @property
    def users(self) -> Tensor | None:
        """(n,) whose rounds depend on each other; None where all are independent."""


class Parts(NamedTuple):
    """The rounds' parts in an estimate, before an interval.

    :param values: (n,) float64, whose mean is the estimate and whose spread is its error.
    :param weights: (n,) importance weights that it rests on; None for none.
    :param rewards: (n,) rewards that these multiply; None where there are no weights.
    :param uncovered: share of what the target does that the log never shows.
    """

    values: Tensor
    weights: Tensor | None = None
    rewards: Tensor | None = None
    uncovered: float = 0.0


L = TypeVar("L", bound=Log, contravariant=True)


class Estimator(ABC, Generic[L]):
    """Estimates what a policy would earn from a log that another one made."""

    rests_on: ClassVar[str] = ""
    """An assumption that no diagnosis shows; it makes an estimate weak."""

    @abstractmethod
    def parts(self, log: L) -> Parts:
        """Each round's part.

        :raises DataError: where the log lacks what is needed.
        """

    def __call__(self, log: L, interval: IntervalName = "student", seed: int = 0) -> Estimate:
        """Estimate, with a 95 % interval.

        :param interval: ``student``; or ``bootstrap``, percentiles of 1,000 resamples. Both take
            users, where the log names them, for what is independent; see :func:`around`.
        :param seed: of the bootstrap.
        :raises DataError: where the log lacks what is needed.
        """
        parts = self.parts(log)
        ends = around(parts.values, log.users, interval, seed)
        diagnosis = None
        if parts.weights is not None and parts.rewards is not None:
            diagnosis = Diagnosis.of(parts.weights, parts.rewards, parts.uncovered)
        faults = [(Verdict.WEAK, self.rests_on)] if self.rests_on else []
        if parts.uncovered > UNCOVERED:  # weights have nothing to weigh, and no model has learned
            why = f"the log never shows {parts.uncovered:.0%} of what the target does"
            faults.append((Verdict.UNUSABLE, why))
        faults += diagnosis.faults() if diagnosis is not None else []
        if log.users is not None and (count := len(log.users.unique())) < FEW_USERS:
            faults.append((Verdict.WEAK, f"all rests on {count} users"))
        ranks = [*Verdict]
        verdict = max((fault for fault, _ in faults), key=ranks.index, default=Verdict.USABLE)
        reasons = tuple(why for _, why in faults)
        return Estimate(*ends, verdict, reasons, diagnosis, parts.values)


def averaged(weights: Tensor, values: Tensor, normalized: bool) -> Tensor:
    """Weighted values, column by column, whose mean is the estimate and whose spread its error.

    Where weights are divided by their mean, a round enters with its influence on the ratio.

    :param weights: (n,) or (n, T), as ``values``.
    """
    if not normalized:
        return weights * values
    mean = weights.mean(0)
    ratio = (weights * values).mean(0) / mean
    return ratio + weights * (values - ratio) / mean


def around(
    values: Tensor, users: Tensor | None, interval: IntervalName = "student", seed: int = 0
) -> Interval:
    """The mean of values (n,) with its interval, users being what is independent.

    A mean of few or uneven rewards is skewed, and an interval that lies evenly about it holds the
    truth too seldom. So Student's has its skewness removed (Hall 1992, "On the removal of skewness
    by transformation"), and the bootstrap's percentiles are accelerated by it (Efron 1987). A bound
    such as Bernstein's would need the largest value that can be, which no sample of rare rewards
    has.

    :raises DataError: where there is no such interval.
    """
    if interval not in get_args(IntervalName):
        raise DataError(
            f"There is no interval {interval!r}; there are {' and '.join(get_args(IntervalName))}."
        )
    count, mean = len(values), float(values.mean())
    units = independent(users, count)
    total = int(units.max()) + 1
    # A user's share of the sum, times the number of users: independent numbers whose mean is 0.
    shares = values.new_zeros(total).index_add(0, units, values - mean) * (total / count)
    # Theirs over √n is their mean's; equal ones have none.
    skewness = float(np.nan_to_num(scipy.stats.skew(shares) / total**0.5)) if shares.any() else 0.0
    if interval == "bootstrap":
        if total > DRAWN:
            order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
            units = order[units] % DRAWN
        return bootstrap_interval(values, units, DRAWN, seed, skewness)
    if total < 2:
        return Interval(mean, -math.inf, math.inf)
    error, freedom = standard_error(shares)
    t = reach(freedom)
    low, high = (mean - error * without_skewness(end, skewness) for end in (t, -t))
    return Interval(mean, low, high)


def independent(users: Tensor | None, count: int) -> Tensor:
    """Number from 0 what is independent of others: users, or each of so many rounds; (n,)."""
    return torch.arange(count) if users is None else users.unique(return_inverse=True)[1]


def without_skewness(end: float, skewness: float) -> float:
    """Find Student's ratio T for which ``T + s T² / 3 + s² T³ / 27 + s / 6`` is a given end.

    Hall's transformation: of a mean of skewness s, the left side is nearly normal, and T is not.
    """
    if abs(skewness) < 1e-6:
        return end
    return float(np.cbrt(1 + skewness * (end - skewness / 6)) - 1) * 3 / skewness


def effective_size(weights: Tensor) -> float:
    """Effective sample size of weights, (Σw)² / Σw²; 0 for none."""
    square = float(weights.square().sum())
    return float(weights.sum()) ** 2 / square if square else 0.0


def pareto_k(weights: Tensor) -> float:
    """Fit a generalised Pareto law to the largest weights, and give its shape k.

    Zhang and Stephens 2009, "A new and efficient estimation method for the generalized Pareto
    distribution", with the prior of Vehtari et al. 2024, "Pareto smoothed importance sampling".

    :returns: -inf where fewer than five different weights are in the tail: these are bounded.
    """
    n = len(weights)
    count = min(n // 5, math.ceil(3 * n**0.5))
    ordered = weights.double().sort().values
    if count < 5:
        return -math.inf
    tail = ordered[-count:] - ordered[-count - 1]
    if len(tail.unique()) < 5 or float(tail[-1]) <= 0:
        return -math.inf
    tail = tail.clamp(min=1e-12 * float(tail[-1]))
    points = 30 + int(count**0.5)
    quarter = tail[int(count / 4 + 0.5) - 1]
    grid = torch.arange(1, points + 1, dtype=torch.float64)
    theta = 1 / tail[-1] + (1 - (points / (grid - 0.5)).sqrt()) / (3 * quarter)
    shapes = torch.log1p(-theta[:, None] * tail).mean(1)
    likelihood = count * ((-theta / shapes).log() - shapes - 1)
    weight = likelihood.softmax(0)
    k = float(torch.log1p(-(theta * weight).sum() * tail).mean())
    return (count * k + 5) / (count + 10)


def needed(log: object, *names: str) -> list[Tensor]:
    """Those attributes of a log.

    :raises DataError: naming what it lacks.
    """
    if lacking := [name for name in names if getattr(log, name) is None]:
        raise DataError(
            f"The log has no {' and no '.join(lacking)}. Give what it lacks, or take an estimator "
            "that does without: DM needs no propensities, IPS no expected rewards."
        )
    return [getattr(log, name) for name in names]


def improper(propensity: Tensor | None) -> list[str]:
    """A sentence where propensities are not above 0 and at most 1."""
    if propensity is None:
        return []
    wrong = int((~((propensity > 0) & (propensity <= 1 + NEAR))).sum())
    if not wrong:
        return []
    return [
        f"{wrong} of {propensity.numel()} propensities are not above 0 and at most 1. What was "
        "shown had a probability of being shown: leave rounds without one out."
    ]


def never_shown(target: Tensor, behavior: Tensor | None, action: Tensor) -> float:
    """The share of what a policy does, (n, A), that a log of its actions (n,) cannot show.

    By the law of the logging policy where it is known, else by what it never showed.
    """
    if behavior is None:
        never = torch.bincount(action, minlength=target.shape[1]) == 0
    else:
        never = behavior <= 0
    return float((target.double() * never).sum(1).mean())


def slope(estimators: Sequence[Estimator[L]], log: L) -> tuple[Estimator[L], Estimate]:
    """Take the least varying estimator whose interval agrees with all that are less biased.

    SLOPE (Su et al. 2020, "Adaptive estimator selection for off-policy evaluation", with the
    constants of Tucker and Lee 2021): with half widths c of the intervals, the estimators stand in
    falling order of c. The last one is taken for which, with all j before it,
    ``abs(θ_i - θ_j) <= c_i + (√6 - 1) · c_j``.

    :param estimators: such as ``[IPS(at) for at in (5, 50, None)]``, of which a narrower interval
        comes with more bias.
    :returns: the estimator, and what it finds.
    """

    def half(estimate: Estimate) -> float:
        return (estimate.high - estimate.low) / 2

    estimates = [(each, each(log)) for each in estimators]
    estimates.sort(key=lambda pair: half(pair[1]), reverse=True)
    best = 0
    for place, (_, one) in enumerate(estimates):
        reached = ((other.value, half(other)) for _, other in estimates[:place])
        if any(abs(one.value - value) > half(one) + (6**0.5 - 1) * c for value, c in reached):
            break
        best = place
    return estimates[best]
