"""What is known of warm items, carried over to cold ones by their texts.

A cold item has no training event: nothing was learned about it, and whatever a model scores it is
an accident. Here its score is the one that its text foretells, by a regression over warm items that
is solved once and serves any history.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self

import numpy as np
import scipy
import torch
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.encoders.words import words_of
from lightrec.keys import Column
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.item_to_item import unit_vectors

PENALTIES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""The ridge penalties to choose from."""
FITTED: Final = 2_048
"""At most so many warm items are regressed on, the most popular ones: the cost is their cube."""
BLOCK: Final = 1 << 26
"""Similarities held at once."""
MIN_ITEMS: Final = 3
"""A word that fewer warm items have tells nothing of cold ones."""


class TextMap:
    """Regresses any scores of warm items on their texts, and predicts those of cold items.

    A kernel ridge regression (Saunders, Gammerman and Vovk 1998). Two texts are as similar as
    ``exp(c - 1) + exp(w - 1)``, with c the cosine of their centred vectors and w that of their
    words: a language model knows what a text is about, and may miss a year or a name that words
    tell exactly. With K the similarities of warm items and z their centred scores for a history, a
    cold item whose similarities are k has the score ``k (K + l2 I)^-1 z``. It is linear in z, so
    that one matrix serves all histories.

    :param vectors: (N + 1, V) float32 text vectors, row 0 zero.
    :param texts: N texts, of the items 1 … N.
    :param counts: (N + 1,) training events of each item; without any, an item is cold.
    :param l2: of the regression.
    """

    def __init__(self, vectors: Tensor, texts: Sequence[str], counts: Tensor, l2: float) -> None:
        self.l2 = l2
        worded = vectors.any(dim=1)
        self.cold = worded & (counts == 0)
        """(N + 1,) bool: items without events, with a text."""
        warm = (worded & (counts > 0)).nonzero().squeeze(1)
        popular = counts[warm].argsort(descending=True, stable=True)[:FITTED]
        self.fitted = warm[popular].sort().values
        """(M,) int64: the warm items that the regression is on."""
        self._units = unit_vectors(vectors)
        self._words = word_weights(texts, self.fitted.numpy())
        known = self.similarity(self.fitted).double()
        penalty = l2 * torch.eye(len(self.fitted), dtype=torch.float64)
        self.inverse = torch.linalg.inv(known + penalty).float()
        """(M, M)."""

    @classmethod
    def of(cls, blend: Blend, store: EventStore) -> Self | None:
        """Give the map of a run's blend; None where its ranker reads no texts."""
        items = blend.ranker.items
        if blend.l2 is None or not items.uses_text:
            return None
        counts = torch.from_numpy(store.popularity())
        return cls(items.vectors, store.catalog[Column.TEXT].to_list(), counts, blend.l2)

    def similarity(self, items: Tensor) -> Tensor:
        """How similar texts are to those regressed on.

        :param items: (C,) int64.
        :returns: (C, M) float32.
        """
        own, other = self._units[items], self._units[self.fitted]
        words = self._words[items.numpy()] @ self._words[self.fitted.numpy()].T
        return (own @ other.T - 1).exp() + (torch.from_numpy(words.toarray()) - 1).exp()

    @cached_property
    def _held(self) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Cold items, as many at once as may be, and their similarities where all can be held."""
        items = self.cold.nonzero().squeeze(1)
        blocks = items.split(max(1, BLOCK // max(1, len(self.fitted))))
        return blocks, self.similarity(blocks[0]) if len(blocks) == 1 else None

    def _centred(self, scores: Tensor) -> Tensor:
        """Scores of the items regressed on, less their mean for each row: (B, M)."""
        own = scores[:, self.fitted]
        return own - own.mean(dim=1, keepdim=True)

    def scores(self, scores: Tensor) -> Tensor:
        """Predict cold items' scores.

        :param scores: (B, N + 1) of any recommender; those of cold items are not looked at.
        :returns: (B, N + 1): cold items' scores; -inf for warm ones and for those without a text.
        """
        weights = self._centred(scores) @ self.inverse
        found = torch.full_like(scores, -torch.inf)
        blocks, held = self._held
        for items in blocks:
            found[:, items] = weights @ (self.similarity(items) if held is None else held).T
        return found

    def as_if_cold(self, scores: Tensor) -> Tensor:
        """Predict the score of each item regressed on as if its own were unknown (leave-one-out).

        :returns: (B, N + 1): -inf for all other items.
        """
        found = torch.full_like(scores, -torch.inf)
        own = self._centred(scores)
        # The residual without an item is its solution divided by the inverse's diagonal.
        found[:, self.fitted] = own - own @ self.inverse / self.inverse.diagonal()
        return found


def word_weights(texts: Sequence[str], fitted: np.ndarray) -> "scipy.sparse.csr_array":
    """Weigh the words of texts: tf-idf with a word once per text, rows of length 1.

    :param texts: N texts, of the items 1 … N.
    :param fitted: (M,) items whose texts say how rare a word is, and which words count at all.
    :returns: (N + 1, W) float32; row 0 is empty.
    """
    words = [set[str](), *(set(words_of(text)) for text in texts)]
    frequency = Counter(word for item in fitted for word in words[item])
    common = sorted(word for word, number in frequency.items() if number >= MIN_ITEMS)
    column = {word: place for place, word in enumerate(common)}
    kept = [sorted(column[word] for word in own if word in column) for own in words]
    rarity = np.log((1 + len(fitted)) / (1 + np.array([frequency[word] for word in column])))
    columns = np.array([place for own in kept for place in own], dtype=np.int64)
    rows = np.repeat(np.arange(len(words)), [len(own) for own in kept])
    shape = len(words), len(column)
    weights = scipy.sparse.csr_array((rarity[columns], (rows, columns)), shape=shape)
    lengths = np.sqrt((weights**2).sum(axis=1))
    # A word of all texts weighs nothing, and may be the only one of a text.
    weights.data /= np.where(lengths > 0, lengths, 1)[rows]
    return weights.astype(np.float32)
