"""A reward that is linear in named features, with confidence intervals.

P(i | s, set) ∝ exp(θ · φ(s, i) + offset(s, i)), nothing having utility 0 (McFadden 1974). Where
users look ahead the offset is the effect of a choice on later offers, γ' (W(s after i) - W(s after
nothing)), so that θ · φ is the reward. The log-likelihood is concave: Newton's method finds θ.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, one_hot, pad

from lightrec.api import PADDING, Column, DataError
from lightrec.data.store import CATEGORIES, EventStore
from lightrec.intervals import reach
from lightrec.users.choice_model import with_nothing

STEPS = 100
"""Number of Newton's steps at most; some five are usual."""
TOLERANCE = 1e-9
"""Largest entry of the mean gradient at which the fit ends."""
POPULARITY = "popularity (log)"
RECENT, FEW = 5, 5
"""Number of last steps that are recent; items below which a category has no feature."""


class RewardFeatures:
    """Names and values of the features of items in states.

    One for every item; log popularity; every number in the catalog; every value of the attributes
    of words with 2 to 40 values, of a single-valued one all but the most frequent; the cosines of
    the item's vector with the last step's and, on average, with those of the recent steps; how many
    recent steps share a category with it; and, where items repeat, how often it was chosen in them.
    Popularity and numbers are in standard deviations over the catalog, cosines in those of two
    random vectors, 1 / √D.

    :param store: the prepared log.
    :param vectors: (N + 1, D) float32, row 0 ignored.
    :param counts: (N + 1,) int64, how often each item was chosen.
    """

    def __init__(self, store: EventStore, vectors: Tensor, counts: NDArray[np.int64]) -> None:
        self.num_items, self.repeats = store.num_items, store.repeats
        popularity = torch.from_numpy(np.log1p(counts[1:]))
        named = {"any item": torch.ones(store.num_items)}
        if popularity.std() > 0:
            named[POPULARITY] = _standard(popularity)
        categories: dict[str, Tensor] = {}
        for name in store.catalog.columns:
            if name in (Column.ITEM, Column.TITLE, Column.TEXT):
                continue
            column = store.catalog.get_column(name)
            if column.dtype.is_numeric():
                numbers = torch.from_numpy(column.cast(pl.Float64).fill_nan(None).to_numpy().copy())
                if len(numbers[numbers.isfinite()].unique()) > 1:
                    named[name] = _standard(numbers)
            else:
                categories |= _one_hot(column)
        self.names = [*named, *categories]
        rows = torch.stack([*named.values(), *categories.values()], 1)
        # Row 0 is padding and row N + 1 nothing: neither resembles any item.
        self.items = pad(rows.float(), (0, 0, 1, 1))
        self.kinds = self.items[:, len(named) :] if categories else None
        # Not copied: the catalog may be large.
        self.vectors, self.mean = vectors, vectors[1:].mean(0)
        if vectors.shape[1]:
            self.names += ["like the last", f"like the last {RECENT}"]
        if self.kinds is not None:
            self.names.append(f"of the last {RECENT}, of a shared category")
        if self.repeats:
            self.names.append(f"chosen in the last {RECENT}")

    def __call__(self, history: Tensor, items: Tensor) -> Tensor:
        """Values (B, C, F) float32.

        :param history: (B, L) int64, padded on the left.
        :param items: (B, C) int64, 0 for none.
        """
        recent = history[:, -RECENT:].clamp_max(self.num_items + 1)
        parts = [self.items[items]]
        if self.vectors.shape[1]:
            near = self._direction(items) @ self._direction(recent).mT * len(self.mean) ** 0.5
            parts += [near[..., -1:], near.mean(2, keepdim=True)]
        if self.kinds is not None:
            shared = self.kinds[items] @ self.kinds[recent].mT > 0
            parts.append(shared.sum(2, keepdim=True).float())
        if self.repeats:
            there = items.unsqueeze(2) == recent.unsqueeze(1)
            parts.append((there & (items > PADDING).unsqueeze(2)).sum(2, keepdim=True).float())
        return torch.cat(parts, 2)

    def _direction(self, items: Tensor) -> Tensor:
        """Unit vectors (..., D) of items; zero for padding and nothing."""
        there = (items > PADDING) & (items <= self.num_items)
        centred = self.vectors[torch.where(there, items, PADDING)] - self.mean
        return normalize(centred, dim=-1) * there.unsqueeze(-1)


def _standard(numbers: Tensor) -> Tensor:
    """Centre and scale numbers (N,); the mean replaces unknown ones."""
    finite = numbers.isfinite()
    mean, spread = numbers[finite].mean(), numbers[finite].std().clamp_min(1e-12)
    return torch.where(finite, (numbers - mean) / spread, 0)


def _one_hot(column: pl.Series) -> dict[str, Tensor]:
    """Columns (N,) of 0 and 1 for the values of an attribute of words; none if too many differ."""
    several = isinstance(column.dtype, pl.List)
    rows = column if several else column.cast(pl.String).reshape((-1, 1)).arr.to_list()
    if rows.dtype != pl.List(pl.String):
        return {}
    counts = rows.explode().drop_nulls().value_counts(sort=True)
    if not 2 <= counts.height <= CATEGORIES:
        return {}
    kept = [word for word, count in counts.iter_rows() if count >= FEW]
    # Of a single-valued attribute one value follows from the others and "any item".
    shown = sorted(kept if several else kept[1:])
    has = {word: rows.list.contains(word).fill_null(False).to_numpy() for word in shown}
    return {f"{column.name}: {word}": torch.tensor(x).float() for word, x in has.items()}


class LinearSets(NamedTuple):
    """Choices from sets (R of them), as features."""

    features: Tensor
    """(R, C, F)."""
    offset: Tensor
    """(R, C): added to utilities; minus infinity in empty places."""
    choice: Tensor
    """(R,) int64: the slot taken, or C for nothing."""
    weight: Tensor
    """(R,)."""
    user: Tensor
    """(R,) int64: who chose."""


class LinearReward(NamedTuple):
    """Weights with their intervals."""

    weights: Tensor
    """(F,) float64, in nats a unit of the feature."""
    errors: Tensor
    """(F,) standard errors."""
    users: int
    """Number of independent people who chose."""

    def intervals(self) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (F,) of Student's 95 % intervals, of one degree less than users."""
        wide = reach(self.users - 1) * self.errors
        return self.weights - wide, self.weights + wide


def fit_linear(sets: Sequence[LinearSets], ridge: float = 1e-6) -> LinearReward:
    """Fit θ; intervals allow for choices of one user that depend on each other.

    The covariance is the sandwich H⁻¹ (Σ g gᵀ) H⁻¹ over users, g being the sum of a user's scores
    (Liang and Zeger 1986), times users / (users - 1): right also where the model is not.

    :param ridge: a penalty ridge/2 · Σ θ² on the mean log-likelihood, against collinear features.
    :raises DataError: where fewer than two users chose, or features are not finite.
    """
    people, person = torch.cat([part.user for part in sets]).unique(return_inverse=True)
    users = len(people)
    if users < 2:
        raise DataError(
            "A linear reward with intervals needs the choices of two users or more; there are "
            "fewer. Give more of the log."
        )
    if not all(part.features.isfinite().all() for part in sets):
        raise DataError("Some features are NaN or infinite; fill unknown values with their mean.")
    weights = torch.zeros(sets[0].features.shape[-1], dtype=torch.float64)
    total = sum(float(part.weight.double().sum()) for part in sets)
    value, scores, hessian = _derivatives(sets, weights, ridge * total)
    for _ in range(STEPS):
        gradient = scores.sum(0) - ridge * total * weights
        if float(gradient.abs().max()) <= TOLERANCE * total:
            break
        step = torch.linalg.lstsq(hessian, gradient.unsqueeze(1)).solution.squeeze(1)
        start, before = weights, value
        # A full step may go too far where utilities are large; half of it, and so on, does not.
        for halvings in range(40):
            weights = start + step / 2**halvings
            value, scores, hessian = _derivatives(sets, weights, ridge * total)
            if value >= before - 1e-12 * abs(before):
                break
    bread = torch.linalg.pinv(hessian, hermitian=True)
    sums = torch.zeros(users, len(weights), dtype=torch.float64).index_add_(0, person, scores)
    variance = (bread @ sums.T @ sums @ bread * users / (users - 1)).diagonal()
    return LinearReward(weights, variance.clamp_min(0).sqrt(), users)


def linear_log_likelihood(sets: Iterable[LinearSets], weights: Tensor) -> float:
    """Mean log-likelihood of weighted choices under given weights (F,), in nats; NaN of none."""
    value = total = 0.0
    for part in sets:
        value += float(part.weight.double() @ _logs(part, weights).gather(1, part.choice[:, None]))
        total += float(part.weight.double().sum())
    return value / total if total else float("nan")


def _logs(sets: LinearSets, weights: Tensor) -> Tensor:
    """Log-probabilities (R, C + 1) of the alternatives and nothing."""
    return with_nothing(sets.features.double() @ weights + sets.offset.double()).log_softmax(1)


def _derivatives(
    sets: Sequence[LinearSets], weights: Tensor, penalty: float
) -> tuple[float, Tensor, Tensor]:
    """The penalised log-likelihood, each choice's weighted score (R, F), and minus its Hessian.

    :param penalty: half of it times Σ θ² is taken off; the scores do not hold it.
    """
    hessian = penalty * torch.eye(len(weights), dtype=torch.float64)
    value, scores = -penalty / 2 * float(weights @ weights), []
    for part in sets:
        logs, features = _logs(part, weights), part.features.double()
        weight, law = part.weight.double().unsqueeze(1), logs.exp()[:, :-1]
        value += float((weight * logs.gather(1, part.choice.unsqueeze(1))).sum())
        left = one_hot(part.choice, logs.shape[1])[:, :-1] - law
        scores.append(torch.einsum("rc,rcf->rf", weight * left, features))
        flat, mean = features.flatten(0, 1), torch.einsum("rc,rcf->rf", law, features)
        share = (weight * law).flatten().unsqueeze(1)
        hessian += flat.T @ (share * flat) - mean.T @ (weight * mean)
    return value, torch.cat(scores), hessian
