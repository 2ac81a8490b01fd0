"""Factors of answers, in which a few numbers tell what a person thinks of all items."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from lightrec_worlds.tower import fit_left_out

ROUNDS = 30
"""Of expectation and maximisation."""


@dataclass(frozen=True)
class Loadings:
    """Answers as y = mean + weights · x + noise, where x of a person is normal, with unit spread.

    Factor analysis with answers that are missing (Rubin and Thayer 1982, "EM algorithms for ML
    factor analysis").

    :param mean: (N + 1,) float64, row 0 zero, as in the others.
    :param weights: (N + 1, D) float64.
    :param noise: (N + 1,) float64, variances.
    """

    mean: Tensor
    weights: Tensor
    noise: Tensor

    @classmethod
    def of(cls, values: Tensor, size: int, even: bool = False, rounds: int = ROUNDS) -> Self:
        """Fit them to answers (P, N + 1), NaN where there are none.

        Items that few answered are pulled to the mean of all, by two answers' worth.

        :param even: whether the noise is the same for all items, as in probabilistic principal
            components (Tipping and Bishop 1999), so that an error counts the same on each.
        """
        there = ~values.isnan()
        there[:, 0] = False
        y, known = values.double().nan_to_num(), there.double()
        count = known.sum(0)
        level, spread = y[there].mean(), y[there].var()
        mean = ((y * known).sum(0) + 2 * level) / (count + 2)
        centred = (y - mean) * known
        # Principal directions of what is there are where the search begins, always the same ones.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, scale, directions = torch.svd_lowrank(centred, q=size, niter=4)
        weights = directions * (scale / len(y) ** 0.5)
        noise = torch.full_like(mean, float(spread) / 2)
        prior = 2.0 * torch.eye(size + 1, dtype=y.dtype)
        for _ in range(rounds):
            x, variance = cls(mean, weights, noise).beliefs(y, known)
            moved = torch.cat([x, x.new_ones(len(x), 1)], 1)
            outer = moved[:, :, None] * moved[:, None, :]
            outer[:, :-1, :-1] += variance
            total = (known.T @ outer.flatten(1)).view(-1, size + 1, size + 1)
            right = (y * known).T @ moved
            right[:, -1] += 2 * level
            both = torch.linalg.solve(total + prior, right)
            squared = (y.square() * known).sum(0) - 2 * (both * ((y * known).T @ moved)).sum(1)
            squared = squared + torch.einsum("nd,nde,ne->n", both, total, both)
            mean, weights = both[:, -1], both[:, :-1]
            noise = ((squared + 2 * spread) / (count + 2)).clamp_min(1e-6)
            if even:
                noise = ((noise * count).sum() / count.sum()).repeat(len(noise))
        for part in (mean, weights, noise):
            part[0] = 0
        noise[0] = 1
        return cls(mean, weights, noise)

    def cautious(self, caution: float) -> Self:
        """The same with ``caution`` times the noise, for answers that say less than it has it."""
        return replace(self, noise=caution * self.noise)

    def described(self, vectors: Tensor, new: Tensor) -> Self:
        """The same, in which items that nobody answered are what their vectors say.

        Means and weights follow from vectors by a ridge regression over the other items; the noise
        of new ones has the error of that regression in it, as of items left out.

        :param vectors: (N + 1, F), such as those of texts.
        :param new: (N + 1,) bool.
        """
        old = ~new
        old[0] = False
        found, inputs = torch.cat([self.mean[:, None], self.weights], 1), vectors.double()
        slopes, predicted = fit_left_out(inputs[old], found[old])
        centre = found[old].mean(0)
        error = (found[old] - centre - predicted).square().sum(1).mean()
        found[new] = centre + (inputs[new] - inputs[old].mean(0)) @ slopes
        noise = torch.where(new, self.noise[old].mean() + error, self.noise)
        return replace(self, mean=found[:, 0], weights=found[:, 1:], noise=noise)

    def beliefs(self, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """What answers say of people: mean (P, D) and variance (P, D, D) of x.

        :param y: (P, N + 1) answers.
        :param known: (P, N + 1), 1 where there is one, else 0.
        """
        sharp = self.weights / self.noise[:, None]
        size = self.weights.shape[1]
        outer = (self.weights[:, :, None] * sharp[:, None, :]).flatten(1)
        precision = (known @ outer).view(-1, size, size) + torch.eye(size, dtype=outer.dtype)
        variance = torch.linalg.inv(precision)
        return (variance @ ((y - self.mean) * known @ sharp)[:, :, None]).squeeze(2), variance
