"""Confidence intervals of means over users, the unit that is independent of others."""

from typing import NamedTuple

from scipy.stats import t as student
from torch import Tensor


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Student's interval of a mean.

    For a paired comparison give differences; where a user was measured several times, give the
    user's mean, so that measurements of one user are not taken for independent ones.

    :param values: ``(U,)`` one number a user.
    :param level: probability with which the interval covers the true mean.
    :returns: the mean and its interval, which is infinite for fewer than two users.
    """
    numbers = values.double()
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Interval(mean, -float("inf"), float("inf"))
    error = float(numbers.std()) / len(numbers) ** 0.5
    half = float(student.ppf((1 + level) / 2, len(numbers) - 1)) * error
    return Interval(mean, mean - half, mean + half)
