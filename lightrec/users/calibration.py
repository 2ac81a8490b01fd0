"""Whether probabilities mean what they say: reliability curves and expected calibration error."""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 20


@dataclass(frozen=True)
class Reliability:
    """What was foretold and what happened, by bins of equal width between 0 and 1.

    Counts of several batches add up with ``+``, so that a curve is one pass over the data.
    """

    weight: Tensor
    """(K,) float64: weight of the forecasts in each bin."""
    forecast: Tensor
    """(K,) float64: sum of weight · probability."""
    happened: Tensor
    """(K,) float64: weight of what came true."""

    @classmethod
    def of(
        cls,
        probability: Tensor,
        happened: Tensor,
        weight: Tensor | None = None,
        bins: int = BINS,
    ) -> "Reliability":
        """Count forecasts of events that came true or not.

        :param probability: any shape, from 0 to 1.
        :param happened: the same shape, bool or from 0 to 1.
        :param weight: broadcast against them; 1 each where it is None.
        :param bins: number of bins K.
        """
        foretold = probability.double()
        counted = torch.ones_like(foretold) if weight is None else weight.double()
        counted = counted.expand_as(foretold).flatten()
        foretold = foretold.flatten()
        place = (foretold * bins).long().clamp(0, bins - 1)

        def total(values: Tensor) -> Tensor:
            return values.new_zeros(bins).index_add_(0, place, values)

        true = happened.double().flatten()
        return cls(total(counted), total(counted * foretold), total(counted * true))

    @classmethod
    def of_choices(
        cls,
        log_probability: Tensor,
        choice: Tensor,
        weight: Tensor | None = None,
        bins: int = BINS,
    ) -> "Reliability":
        """Count every alternative of every set, nothing included, as one forecast.

        :param log_probability: (B, C + 1); minus infinity is no alternative and is not counted.
        :param choice: (B,) int64, the column that was chosen.
        :param weight: (B,) of the sets.
        """
        there = log_probability > -torch.inf
        counted = there if weight is None else there * weight.double().unsqueeze(1)
        chosen = torch.zeros_like(there).scatter_(1, choice.unsqueeze(1), True)
        return cls.of(log_probability.double().exp(), chosen, counted, bins)

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.weight + other.weight,
            self.forecast + other.forecast,
            self.happened + other.happened,
        )

    @property
    def curve(self) -> tuple[Tensor, Tensor]:
        """Mean forecast and share that came true, each (K,), in every bin; NaN in an empty one."""
        return self.forecast / self.weight, self.happened / self.weight

    @property
    def error(self) -> float:
        """Expected calibration error, from 0 to 1; 0 where nothing was foretold.

        That is the mean, over forecasts, of the distance in their bin between the mean forecast and
        the share that came true (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017; over all
        alternatives, not the likeliest alone, Nixon et al. 2019). A bin of n forecasts of
        probability p is off by about sqrt(p (1 - p) / n) by chance.
        """
        total = float(self.weight.sum())
        return float((self.forecast - self.happened).abs().sum()) / total if total else 0.0
