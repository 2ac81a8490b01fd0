"""95 % confidence intervals of means over users, the unit that is independent of others."""

from typing import NamedTuple

import scipy
import torch
from torch import Tensor

LEVEL = 0.95
"""Probability with which an interval covers the truth."""
DRAWN_AT_ONCE = 2**22
"""Number of users that a bootstrap draws at once, which bounds its memory (about 100 MB)."""


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Tensor) -> Interval:
    """Interval of a mean over users, and over refits of what measured them where there are several.

    For a paired comparison give differences; where a user was measured several times, give the
    user's mean, so that measurements of one user are not taken for independent ones. One row is
    Student's case; several rows are bootstrap refits, see :func:`standard_error`.

    :param values: ``(U,)`` one number a user, or ``(J, U)`` one for each refit and user.
    :returns: the mean and its interval, which is infinite for fewer than two users.
    """
    return around(float(values.double().mean()), *standard_error(values))


def around(mean: float, error: float, freedom: float) -> Interval:
    """Student's interval around a mean; infinite without any degrees of freedom."""
    half = reach(freedom) * error if freedom else float("inf")
    return Interval(mean, mean - half, mean + half)


def reach(freedom: float) -> float:
    """Number of standard errors that Student's interval reaches to either side."""
    return float(scipy.special.stdtrit(freedom, (1 + LEVEL) / 2))


def standard_error(values: Tensor) -> tuple[float, float]:
    """Standard error of a mean over users, or over bootstrap refits crossed with users.

    Refits on bootstrap samples differ from each other as the one fit to the whole sample differs
    from the truth (Efron 1979). So the variance between refits counts in full, however many there
    are, and once more divided by J, since J of them stand for all:

        variance of the users' means / U + (1 + 1 / J) · variance of the refits' means.

    The refits' means hold the chance of their sessions too, which errs on the wide side. Degrees
    of freedom are Satterthwaite's (1946, "An approximate distribution of estimates of variance
    components").

    :param values: ``(U,)``, or ``(J, U)``.
    :returns: the error and its degrees of freedom; (0, 0) for fewer than two users.
    """
    table = values.double().reshape(-1, values.shape[-1])
    refits, users = table.shape
    if users < 2:
        return 0.0, 0.0
    of_users, of_refits = float(table.mean(0).var()) / users, 0.0
    if refits > 1:
        of_refits = (1 + 1 / refits) * float(table.mean(1).var())
    total = of_users + of_refits
    if total == 0:
        return 0.0, users - 1
    parts = of_users**2 / (users - 1) + of_refits**2 / max(refits - 1, 1)
    return total**0.5, total**2 / parts


def ratio_interval(above: Tensor, below: Tensor, *, paired: bool) -> Interval | None:
    """Fieller's interval of a ratio of two means, which need not lie evenly about it.

    Fieller 1954, "Some problems in interval estimation": all ratios that a t-test of
    mean(above) - ratio · mean(below) does not refuse.

    :param above: ``(U,)`` one number a user, or ``(J, U)`` one for each refit and user.
    :param below: ``(U',)``; the same users in the same order where ``paired``, else others.
    :returns: None where the mean of ``below`` is not clearly above 0: any ratio is possible then.
    """
    error_x, freedom_x = standard_error(above)
    error_y, freedom_y = standard_error(below)
    if not min(freedom_x, freedom_y):
        return None
    t = reach(min(freedom_x, freedom_y))
    # What refits add to one mean has no part in the other.
    x, y = above.double().reshape(-1, above.shape[-1]).mean(0), below.double()
    mean, base = float(x.mean()), float(y.mean())
    var_x, var_y = error_x**2, error_y**2
    both = float(torch.stack([x, y]).cov()[0, 1]) / len(x) if paired else 0.0
    # The roots of (mean - r · base)² = t² (var_x - 2 r both + r² var_y).
    a = base**2 - t**2 * var_y
    b = mean * base - t**2 * both
    c = mean**2 - t**2 * var_x
    if a <= 0 or base <= 0:
        return None
    root = max(b**2 - a * c, 0.0) ** 0.5
    return Interval(mean / base, (b - root) / a, (b + root) / a)


def bootstrap_interval(
    values: Tensor, users: Tensor, resamples: int = 2000, seed: int = 0, skewness: float = 0.0
) -> Interval:
    """Percentile interval of a mean over events, users drawn again with all their events.

    Events of one user are not independent, so users are drawn, as many as there are and with
    replacement (Efron 1979; Sakai 2006 for rankings). For a paired comparison give differences.

    :param values: ``(E,)`` one number an event.
    :param users: ``(E,)`` int64, whose event it is.
    :param resamples: how often users are drawn.
    :param seed: of the draws.
    :param skewness: of the mean, where percentiles shall allow for it: Efron 1987, "Better
        bootstrap confidence intervals", whose bias and acceleration are both a sixth of it.
    :returns: the mean of the values and its interval, which is infinite for fewer than two users.
    :raises ValueError: where there are no values.
    """
    if not len(values):
        raise ValueError("There are no values to take a mean of; give at least one.")
    numbers = values.double().cpu()
    owners, place = users.cpu().unique(return_inverse=True)
    sums = numbers.new_zeros(len(owners), 2)
    sums.index_add_(0, place, torch.stack([numbers, torch.ones_like(numbers)], dim=1))
    mean, count = float(numbers.mean()), len(owners)
    if count < 2:
        return Interval(mean, -float("inf"), float("inf"))
    generator = torch.Generator().manual_seed(seed)
    means = []
    for part in torch.arange(resamples).split(max(1, DRAWN_AT_ONCE // count)):
        drawn = torch.randint(count, (len(part), count), generator=generator)
        drawn += torch.arange(len(part))[:, None] * count
        # How often each user was drawn: multinomial counts.
        times = drawn.flatten().bincount(minlength=drawn.numel()).view(len(part), count)
        totals = times.double() @ sums
        means.append(totals[:, 0] / totals[:, 1])
    sixth, shares = skewness / 6, torch.tensor([1 - LEVEL, 1 + LEVEL], dtype=torch.float64) / 2
    off = sixth + torch.special.ndtri(shares)
    ends = torch.special.ndtr(sixth + off / (1 - sixth * off))
    low, high = torch.cat(means).quantile(ends).tolist()
    return Interval(mean, low, high)


def ahead(differences: Tensor, users: Tensor) -> float:
    """Number of standard errors by which a mean is above 0, users being what is drawn.

    The rule by which what is new is kept only where it is better; all by NDCG@10 of validation
    events:

    ======================================  ===============  =============
    what is kept                            standard errors  events
    ======================================  ===============  =============
    searched or most likely weights alone     1                at most 4,000
    parts beside popularity, on few events  2                below 300
    a second look at a blend's first items  1                300 to 10,000
    ======================================  ===============  =============

    The map from texts to scores goes by events in place of users, since each event's item is taken
    for unknown by itself.

    :param differences: (E,), of events.
    :param users: (E,) int64.
    """
    mean = differences.mean()
    sums = differences.new_zeros(int(users.max()) + 1).index_add(0, users, differences - mean)
    return float(mean * len(users) / sums.norm())
