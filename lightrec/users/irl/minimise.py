"""A small smooth problem minimised to the rounding of its gradient: L-BFGS, then Newton's steps."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array: TypeAlias = NDArray[np.float64]
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
