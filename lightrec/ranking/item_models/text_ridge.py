"""Scores by texts alone, learned from which texts come after which."""

from typing import ClassVar, Final, Self

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightrec.encoders.base import unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.errors import NotApplicable
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.item_models.item_to_item import DENSE, ItemToItem, Values
from lightrec.ranking.scorers import Details

REACH: Final = 20
"""Items of a history that are looked back at in fitting."""
POWER: Final = 0.25
"""Exponent of an item's events by which each of them counts less."""
WORDS: Final = 5_000
"""Words at most, those of the most items: the cost is their cube."""
PART: Final = 100_000
"""Events whose histories are in memory at once."""
PARTS: Final = ("places", "offsets", "weights")
"""What a sparse table is kept as."""


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

    inner: Tensor
    """(F, F) float32, in large catalogs, in place of the matrix: M."""
    vectors: Tensor
    """(N + 1, V) float32, in large catalogs, like the words, kept by items and by words."""

    def __init__(self, l2: float | None = None, decay: float = 0.8) -> None:
        super().__init__()
        self.l2, self.decay = l2, decay

    def fit(self, evidence: Evidence) -> Self:
        """Solve for M, and keep it: beside the features, or in all scores of a small catalog."""
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that there is no next item.")
        decay = 0.8 if self.decay is None else self.decay
        # What another setting is solved from as well.
        if (key := f"{type(self).__name__} {decay}") not in evidence.found:
            warm = evidence.counts().numpy() > 0
            features = _Features.of(evidence, warm)
            evidence.found[key] = features, *_products(evidence, features, warm, decay)
        features, gram, cross, own = evidence.found[key]
        l2 = 10.0 if self.l2 is None else self.l2
        inner = _divided(_divided(cross, gram, l2).T, own, l2 / 10).T
        self.matrix = None  # that of another fit
        kept = {"inner": torch.from_numpy(inner), **features.tables}
        for name, table in kept.items():
            self.register_buffer(name, table)
        if evidence.num_items <= DENSE:
            self.keep_matrix(self.scores(torch.arange(1, evidence.num_items + 1)[:, None])[:, 1:])
            for name in kept:
                del self._buffers[name]
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1)."""
        if self.matrix is not None:
            return super().scores(histories)
        loudness = self.loudness(histories)
        heard = torch.zeros(len(histories), len(self.vectors), device=histories.device)
        heard.scatter_add_(1, histories, loudness)
        said = functional.embedding_bag(
            histories, self.vectors, per_sample_weights=loudness, mode="sum"
        )
        sought = torch.cat([said, self._added("words", heard)], 1) @ self.inner
        split = self.vectors.shape[1]
        return sought[:, :split] @ self.vectors.T + self._added("items", sought[:, split:])

    def _added(self, name: str, values: Tensor) -> Tensor:
        """Products of rows with the weights of words: of items (B, N + 1) or of words (B, W)."""
        places, offsets, weights = (getattr(self, f"{name}_{part}") for part in PARTS)
        return functional.embedding_bag(
            places, values.T.contiguous(), offsets, per_sample_weights=weights, mode="sum"
        ).T


def _products(
    evidence: Evidence, features: "_Features", warm: NDArray[np.bool_], decay: float
) -> tuple[Values, Values, Values]:
    """Sums of w a a', of w a x', and X' X, (F, F) each."""
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
    return gram, cross, own


def _divided(values: Values, gram: Values, l2: float) -> Values:
    """Solve ``(gram + l2 I) x = values``."""
    gram = gram.copy()
    gram[np.diag_indices_from(gram)] += l2
    factor = scipy.linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
    solved: Values = scipy.linalg.cho_solve(factor, values, check_finite=False)
    return solved


class _Features:
    """Features of N items: dense vectors (N, V) beside sparse words (N, W)."""

    def __init__(self, vectors: Tensor, words: "scipy.sparse.csr_array") -> None:
        self.vectors, self.words = vectors[1:].numpy(), words[1:]
        self.width = vectors.shape[1] + words.shape[1]
        self.tables = {"vectors": vectors}
        """What scoring reads: vectors (N + 1, V), and the words of items and the items of words."""
        for name, table in {"items": words, "words": words.tocsc()}.items():
            parts = table.indices.astype(np.int64), table.indptr[:-1].astype(np.int64), table.data
            for part, values in zip(PARTS, parts, strict=True):
                self.tables[f"{name}_{part}"] = torch.from_numpy(values)

    @classmethod
    def of(cls, evidence: Evidence, warm: NDArray[np.bool_]) -> Self:
        """Read the texts of a log's items."""
        vectors = unit_vectors(evidence.vectors)
        if not vectors.any() or not len(evidence.texts):
            raise NotApplicable("The items have no texts, or there is no text encoder.")
        words = word_weights(evidence.texts, np.flatnonzero(warm))
        common = np.argsort(-np.diff(words.tocsc().indptr), kind="stable")[:WORDS]
        return cls(vectors, scipy.sparse.csr_array(words[:, np.sort(common)]))

    def product(self, between: "scipy.sparse.sparray") -> Values:
        """``X' S X`` of a sparse S (N, N): (V + W, V + W)."""
        by_vectors, by_words = between @ self.vectors, between @ self.words
        upper = [self.vectors.T @ by_vectors, (by_words.T @ self.vectors).T]
        lower = [self.words.T @ by_vectors, (self.words.T @ by_words).toarray()]
        return np.vstack([np.hstack(upper), np.hstack(lower)]).astype(np.float32)
