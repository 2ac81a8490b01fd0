"""Scores by texts alone, learned from which texts come after which."""

from typing import ClassVar, Final, Self

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.encoders.base import unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.errors import NotApplicable
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.item_models.item_to_item import BLOCK, DENSE, KEPT, ItemToItem, Values

REACH: Final = 20
"""Items of a history that are looked back at in fitting."""
POWER: Final = 0.25
"""Exponent of an item's events by which each of them counts less."""
WORDS: Final = 5_000
"""Words at most, those of the most items: the cost is their cube."""
PART: Final = 100_000
"""Events whose histories are in memory at once."""


class TextRidge(ItemToItem):
    """What the next item says, regressed on what the items before it say, at every event.

    An item's features x are the centred vector of its text and the tf-idf of its words, each of
    length 1. A history's features a are the sum of its items', each times ``decay`` to the power of
    its age. Then a M x_j is the score of item j, with the M by which the scores of all items are
    least squares from 1 for the next item and 0 for the others:

        M = (sum w a a' + l2 I)^-1 (sum w a x') (X' X + l2 / 10 I)^-1

    where X holds the items with events, and w the worth of an event divided by a power of its
    item's events. Both sides are regularised as in ridge regression. Items without a single event
    have scores as all others do, by their texts.

    :param l2: of the histories' side; the items' is a tenth of it.
    :param decay: what an item of a history counts less for each event since.
    """

    GRID: ClassVar = {"l2": (10.0, 30.0)}
    SCORING: ClassVar = frozenset[str]()

    def __init__(self, l2: float | None = None, decay: float = 0.8) -> None:
        super().__init__()
        self.l2, self.decay = l2, decay

    def fit(self, evidence: Evidence) -> Self:
        """Solve for M, and keep the scores that each item of a history gives to all items."""
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that there is no next item.")
        warm = evidence.counts().numpy() > 0
        features = _Features.of(evidence, warm)
        inner = self._solved(evidence, features, warm)
        count, cold = evidence.num_items, torch.from_numpy(np.flatnonzero(~warm[1:]))

        def scored(rows: slice) -> Tensor:
            return torch.from_numpy(features.times(features.rows(rows) @ inner))

        if count <= DENSE:
            self.keep_matrix(scored(slice(0, count)))
            return self
        step, kept = max(1, BLOCK // count), []
        for start in range(0, count, step):
            scores = scored(slice(start, start + step))
            # Items without events have places of their own: what has some scores higher.
            parts = [scores.index_fill(1, cold, 0), scores[:, cold]]
            heaviest = [part.topk(min(KEPT, part.shape[1]), dim=1) for part in parts]
            places = torch.cat([heaviest[0].indices, cold[heaviest[1].indices]], 1)
            kept.append((places.int() + 1, torch.cat([each.values for each in heaviest], 1)))
        columns, weights = (torch.cat(parts) for parts in zip(*kept, strict=True))
        self.keep_neighbours(columns, weights)
        return self

    def _solved(self, evidence: Evidence, features: "_Features", warm: NDArray[np.bool_]) -> Values:
        """The matrix M, (F, F)."""
        l2 = 10.0 if self.l2 is None else self.l2
        decay = 0.8 if self.decay is None else self.decay
        gram, cross = np.zeros((2, features.width, features.width), np.float32)
        log = evidence.log
        place = np.arange(len(log.items)) - log.offsets[log.users_of(np.arange(len(log.items)))]
        events = np.flatnonzero(place > 0)
        rarity = np.maximum(evidence.counts().numpy(), 1) ** -POWER
        for some in np.array_split(events, max(1, -(-len(events) // PART))):
            ages = np.arange(REACH)
            there = ages < place[some, None]
            rows = np.broadcast_to(np.arange(len(some))[:, None], there.shape)[there]
            read = np.asarray(log.items)[(some[:, None] - 1 - ages)[there]] - 1
            loud = np.broadcast_to(decay**ages, there.shape)[there]
            shape = len(some), evidence.num_items
            histories = scipy.sparse.csr_array((loud.astype(np.float32), (rows, read)), shape)
            length = np.sqrt((histories**2).sum(1))
            histories = scipy.sparse.diags_array(1 / length.astype(np.float32)) @ histories
            target = np.asarray(log.items)[some]
            worth = (evidence.worths[some] * rarity[target]).astype(np.float32)
            chosen = scipy.sparse.csr_array((worth, (np.arange(len(some)), target - 1)), shape)
            gram += features.product(histories.T @ scipy.sparse.diags_array(worth) @ histories)
            cross += features.product(histories.T @ chosen)
        own = features.product(scipy.sparse.diags_array(warm[1:].astype(np.float32)))
        return _divided(_divided(cross, gram, l2).T, own, l2 / 10).T


def _divided(values: Values, gram: Values, l2: float) -> Values:
    """Solve ``(gram + l2 I) x = values``."""
    gram[np.diag_indices_from(gram)] += l2
    factor = scipy.linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
    solved: Values = scipy.linalg.cho_solve(factor, values, check_finite=False)
    return solved


class _Features:
    """Features of N items: dense vectors (N, V) beside sparse words (N, W)."""

    def __init__(self, vectors: Values, words: "scipy.sparse.csr_array") -> None:
        self.vectors, self.words = vectors, words
        self.width = vectors.shape[1] + words.shape[1]

    @classmethod
    def of(cls, evidence: Evidence, warm: NDArray[np.bool_]) -> Self:
        """Read the texts of a log's items."""
        vectors = unit_vectors(evidence.vectors)[1:].numpy()
        if not vectors.any() or not len(evidence.texts):
            raise NotApplicable("The items have no texts, or there is no text encoder.")
        words = word_weights(evidence.texts, np.flatnonzero(warm))[1:]
        common = np.argsort(-np.diff(words.tocsc().indptr), kind="stable")[:WORDS]
        return cls(vectors, scipy.sparse.csr_array(words[:, np.sort(common)]))

    def rows(self, rows: slice) -> Values:
        """Features of some items, (n, V + W)."""
        return np.hstack([self.vectors[rows], self.words[rows].toarray()])

    def times(self, rows: Values) -> Values:
        """Products of rows (n, V + W) with the features of all items: (n, N)."""
        split = self.vectors.shape[1]
        across = self.words @ np.ascontiguousarray(rows[:, split:].T)
        return np.asarray(rows[:, :split] @ self.vectors.T + across.T)

    def product(self, between: "scipy.sparse.sparray") -> Values:
        """``X' S X`` of a sparse S (N, N): (V + W, V + W)."""
        by_vectors, by_words = between @ self.vectors, between @ self.words
        upper = [self.vectors.T @ by_vectors, (by_words.T @ self.vectors).T]
        lower = [self.words.T @ by_vectors, (self.words.T @ by_words).toarray()]
        return np.vstack([np.hstack(upper), np.hstack(lower)]).astype(np.float32)
