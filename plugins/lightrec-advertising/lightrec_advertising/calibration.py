"""Whether predicted probabilities are those that come true."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_loss(predicted: Floats, clicked: Floats) -> float:
    """Mean negative log-likelihood, in nats, of outcomes 0 and 1 under probabilities (R,)."""
    p = np.clip(predicted, 1e-7, 1 - 1e-7)
    return float(-(clicked * np.log(p) + (1 - clicked) * np.log(1 - p)).mean())


def reliability(predicted: Floats, clicked: Floats, bins: int = 10) -> list[tuple[float, float]]:
    """Mean prediction and share of clicks in groups of equal size, by rising prediction."""
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(predicted[part].mean()), float(clicked[part].mean())) for part in parts]


def calibration_error(predicted: Floats, clicked: Floats, bins: int = 10) -> float:
    """Give the expected calibration error (Naeini et al. 2015), over groups of equal size.

    It is the mean distance between the two numbers of :func:`reliability`. With few clicks in a
    group chance alone makes it positive.
    """
    sizes = [len(part) for part in np.array_split(predicted, bins) if len(part)]
    gaps = [abs(p - share) for p, share in reliability(predicted, clicked, bins)]
    return float(np.average(gaps, weights=sizes))


def measured(predicted: Floats, clicked: Floats) -> Mapping[str, float]:
    """Give ``log_loss`` and ``calibration_error``."""
    return {
        "log_loss": log_loss(predicted, clicked),
        "calibration_error": calibration_error(predicted, clicked),
    }
