"""How much of one mean another one is, when both were measured on the same users."""

from scipy.stats import t as student
from torch import Tensor

from lightrec.evaluation.intervals import Interval


def ratio_interval(part: Tensor, whole: Tensor, level: float = 0.95) -> Interval | None:
    """Fieller's interval of the ratio of two paired means.

    It holds all ρ for which the mean of part - ρ · whole is not clearly different from 0 by
    Student's test (Fieller 1954, "Some problems in interval estimation"), and is a stretch of
    numbers only where the mean of ``whole`` is clearly different from 0.

    :param part: ``(U,)`` one number a user.
    :param whole: ``(U,)`` of the same users.
    :param level: probability with which the interval covers the true ratio.
    :returns: the ratio and its interval; None where there are fewer than two users, or the mean of
        ``whole`` is not clearly different from 0, so that any ratio may be the true one.
    """
    count = len(part)
    if count < 2:
        return None
    above, below = part.double(), whole.double()
    top, bottom = float(above.mean()), float(below.mean())
    factor = float(student.ppf((1 + level) / 2, count - 1)) ** 2 / count
    spread = float(below.var())
    joint = float(((above - top) * (below - bottom)).sum()) / (count - 1)
    # (top - ρ bottom)² = factor · (var above - 2 ρ joint + ρ² var below), solved for ρ.
    square = bottom**2 - factor * spread
    if square <= 0:
        return None
    middle = top * bottom - factor * joint
    constant = top**2 - factor * float(above.var())
    half = max(0.0, middle**2 - square * constant) ** 0.5
    return Interval(top / bottom, (middle - half) / square, (middle + half) / square)
