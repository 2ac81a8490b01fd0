"""Choices of people like this one: popularity, moved by the users' attributes.

The only item model that looks at who somebody is, and not at what they did before.
"""

from collections.abc import Callable
from itertools import product
from typing import ClassVar, Final, Self

import numpy as np
import scipy
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.errors import NotApplicable
from lightrec.keys import Key
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details

FOLDS: Final = 5
"""Parts of the users, of which each is judged by what the others chose."""
JUDGED: Final = 1_000
"""Users of each part that are judged at most,"""
BLOCK: Final = 1 << 24
"""and scores of theirs that exist at once."""
NEWCOMERS: Final = 10
"""First events of a user that are those of a newcomer."""
SMOOTHING: Final = 0.1
"""Addend of each item's count."""


class Demographic(ItemModel):
    """Items regressed on the users' attributes: a multinomial logistic regression (McFadden 1974).

    P(i | g) ∝ p_i exp(w_i · g), where p is the items' shares of all events, and g a user's features
    less their mean over events. The weights are those of one step of Newton's method from 0 under a
    Gaussian prior, leaving out the curvature between items: w_i = (p_i S + l2)⁻¹ r_i, where S is
    the sum of g gᵀ over events, and r_i the sum of g over events of the item, less p_i times that
    over all events. Somebody of whom nothing is known is the mean person.

    What is None is chosen by the likelihood of the first events of users who took no part in the
    fit: it is what serves people without a history.

    :param l2: the prior's precision.
    :param first: how many of each user's first events are fitted to; 0 for all of them.
    """

    PRECISIONS: ClassVar = (3.0, 10.0, 30.0, 100.0, 300.0)
    """Values tried for l2; for ``first``, all events and those of a newcomer are."""

    level: Tensor
    """(N + 1,) float32 logarithms of p."""
    weights: Tensor
    """(G, N + 1) float32."""
    people: Tensor
    """(U, G) float32, the users' features less their mean."""
    mean: Tensor
    """(G,) float32."""

    def __init__(self, l2: float | None = None, first: int | None = None) -> None:
        super().__init__()
        self.l2, self.first = l2, first

    def fit(self, evidence: Evidence) -> Self:
        """Choose what is open, and regress.

        :raises NotApplicable: where users have no attributes that tell anything.
        """
        if not evidence.people.shape[1]:
            raise NotApplicable("The users have no attributes that numbers can be made of.")
        self.first, self.l2 = self._chosen(evidence)
        events, features = _events(evidence, self.first), evidence.people.double()
        level, mean, solve = _regression(events, features)
        self.register_buffer("level", pad(level, (1, 0), value=-torch.inf).float())
        self.register_buffer("weights", pad(solve(self.l2), (1, 0)).float())
        self.register_buffer("people", (features - mean).float())
        self.register_buffer("mean", mean.float())
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items for who somebody is: (B, N + 1) shares of what such people choose.

        :param users: (B,) rows of the user table.
        :param details: of which ``Key.PROFILE`` and ``Key.USER`` are read, where they are known.
        """
        context = details or {}
        users = context.get(Key.USER) if users is None else users
        if Key.PROFILE in context:
            person = context[Key.PROFILE] - self.mean
        elif users is not None:
            person = self.people[users]
        else:
            return self.level.softmax(0).expand(len(histories), -1)
        return (self.level + person @ self.weights).softmax(1)

    def _chosen(self, evidence: Evidence) -> tuple[int, float]:
        """Choose ``first`` and ``l2``, what is open by the highest likelihood.

        :raises NotApplicable: where popularity alone is more likely.
        """
        first = (0, NEWCOMERS) if self.first is None else (self.first,)
        l2 = self.PRECISIONS if self.l2 is None else (self.l2,)
        if len(first) == len(l2) == 1:
            return first[0], l2[0]
        newcomers, features = _events(evidence, NEWCOMERS), evidence.people.double()
        fold = np.random.default_rng(0).permutation(len(features)) % FOLDS
        total = dict.fromkeys(product(first, (*l2, np.inf)), 0.0)
        limit = max(1, min(JUDGED, BLOCK // evidence.num_items))
        for number, few in product(range(FOLDS), first):
            judged = np.flatnonzero(fold == number)[:limit]
            counts = torch.from_numpy(newcomers[judged].toarray()).double()
            level, mean, solve = _regression(
                _events(evidence, few)[fold != number], features[torch.from_numpy(fold != number)]
            )
            for value in (*l2, np.inf):
                law = (level + (features[judged] - mean) @ solve(value)).log_softmax(1)
                total[few, value] += float((counts * law).sum())
        best = max(total, key=total.__getitem__)
        if best[1] == np.inf:
            raise NotApplicable("The users' attributes do not tell what newcomers choose.")
        return best


def _events(evidence: Evidence, first: int) -> "scipy.sparse.csr_array":
    """(U, N): how often users had items, in so many of their first events, or in all where 0."""
    log = evidence.log
    items, users = np.asarray(log.items) - 1, log.users_of(np.arange(len(log.items)))
    if first:
        early = np.arange(len(items)) - log.offsets[users] < first
        items, users = items[early], users[early]
    entries = np.ones(len(items), np.float32), (users, items)
    return scipy.sparse.csr_array(entries, shape=(len(log.offsets) - 1, evidence.num_items))


def _regression(
    events: "scipy.sparse.csr_array", features: Tensor
) -> tuple[Tensor, Tensor, Callable[[float], Tensor]]:
    """Levels (N,), the features' mean (G,), and what solves for weights (G, N), given l2.

    :param events: (U, N).
    :param features: (U, G) float64.
    """
    numbers = torch.from_numpy(np.asarray(events.sum(1), np.float64))
    counts = torch.from_numpy(np.asarray(events.sum(0), np.float64))
    share = (counts + SMOOTHING) / (counts + SMOOTHING).sum()
    mean = numbers @ features / numbers.sum().clamp_min(1)
    centred = features - mean
    scale, axes = torch.linalg.eigh(centred.T * numbers @ centred)
    seen = torch.from_numpy(events.T @ centred.numpy()).T
    residual = axes.T @ (seen - (numbers @ centred)[:, None] * share)

    def solve(l2: float) -> Tensor:
        return axes @ (residual / (scale[:, None] * share + l2))

    return share.log(), mean, solve
