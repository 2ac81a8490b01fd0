"""Whether predicted probabilities come true: reliability, calibration error and log-loss."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

BINS = 20
"""Number of bins of equal width."""
GROUPS = 10
"""Number of groups of equal size."""


def reliability(
    forecast: Tensor, happened: Tensor, weight: Tensor | None = None, groups: int | None = None
) -> Tensor:
    """Count forecasts by their probability, and how many of them came true.

    :param forecast: (F,) probabilities.
    :param happened: (F,) 0 or 1, and ``weight`` (F,) of each forecast; None: 1.
    :param groups: so many bins of equally many forecasts; None: :data:`BINS` of equal width, whose
        counts of several batches add up.
    :returns: (3, bins) float64: of each bin the weight, the sum of weight · probability, and the
        weight of the forecasts that came true.
    """
    forecast = forecast.double()
    weight = torch.ones_like(forecast) if weight is None else weight.double()
    if groups is None:
        place = (forecast * BINS).long().clamp(0, BINS - 1)
    else:
        place = torch.empty(len(forecast), dtype=torch.int64)
        for number, part in enumerate(forecast.argsort(stable=True).tensor_split(groups)):
            place[part] = number
    rows = (weight, weight * forecast, weight * happened)
    return torch.stack([torch.bincount(place, row, groups or BINS) for row in rows])


def calibration_error(counts: Tensor) -> float:
    """Expected calibration error, from 0 to 1, of counts of forecasts; 0 without any.

    That is the mean, over forecasts, of the distance in their bin between the mean forecast and the
    share that came true (Naeini, Cooper and Hauskrecht 2015; over all alternatives, Nixon et al.
    2019). A bin of n forecasts of probability p is off by about sqrt(p (1 - p) / n) by chance.

    :param counts: of :func:`reliability`.
    """
    weight, forecast, happened = counts
    total = float(weight.sum())
    return float((forecast - happened).abs().sum()) / total if total else 0.0


def measured(forecast: Tensor, happened: Tensor) -> dict[str, float]:
    """Measure forecasts (F,) of what happened, (F,) 0 or 1.

    :returns: ``log_loss``, their mean negative log-likelihood in nats, and ``calibration_error``
        over :data:`GROUPS` groups of equal size.
    """
    forecast, happened = forecast.double(), happened.double()
    loss = binary_cross_entropy(forecast.clamp(1e-7, 1 - 1e-7), happened)
    error = calibration_error(reliability(forecast, happened, groups=GROUPS))
    return {"log_loss": float(loss), "calibration_error": error}
