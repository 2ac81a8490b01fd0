"""Words of texts in any language: how rare each is, and an encoder that knows nothing but them."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lightrec.encoders.base import Encoder

if TYPE_CHECKING:
    import scipy.sparse

UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Scripts that are written without blanks: Thai, Lao, Burmese, Khmer, kana, Chinese."""
_RUN: Final = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+")
_STARTS_UNSPACED: Final = re.compile(rf"[{UNSPACED}]")
MIN_ITEMS: Final = 3
"""A word that fewer known items have tells nothing of others."""
GRAM: Final = 4
"""Letters of the pieces of a word by which its compounds and endings are recognised."""


def words_of(text: str) -> list[str]:
    """Split a text into words, in small letters.

    A script without blanks gives its characters and each pair of neighbours.
    """
    words: list[str] = []
    for run in _RUN.findall(text.lower()):
        words.append(run)
        if _STARTS_UNSPACED.match(run) and len(run) > 1:
            words[-1:] = [*run, *map("".join, pairwise(run))]
    return words


def word_table(texts: Sequence[str]) -> tuple["scipy.sparse.csr_array", list[str]]:
    """Which words each text has.

    :param texts: N texts, of the items 1 … N.
    :returns: (N + 1, W), 1 for a word that a text has, row 0 empty; and the W words, sorted.
    """
    import scipy.sparse

    column: dict[str, int] = {}
    rows = [
        np.fromiter({column.setdefault(word, len(column)) for word in words_of(text)}, np.int32)
        for text in ("", *texts)
    ]
    words = sorted(column)
    rank = np.empty(len(words), np.int32)
    rank[[column[word] for word in words]] = np.arange(len(words), dtype=np.int32)
    places, begins = rank[np.concatenate(rows)], np.cumsum([0, *map(len, rows)])
    entries = np.ones(len(places)), places, begins
    table = scipy.sparse.csr_array(entries, shape=(len(rows), len(words)))
    table.sort_indices()
    return table, words


def word_weights(texts: Sequence[str], fitted: np.ndarray) -> "scipy.sparse.csr_array":
    """Weigh the words of texts: tf-idf with a word once per text, rows of length 1.

    :param texts: N texts, of the items 1 … N.
    :param fitted: (M,) items whose texts say how rare a word is, and which words count at all.
    :returns: (N + 1, W) float32; row 0 is empty.
    """
    import scipy.sparse

    table, _ = word_table(texts)
    frequency = table[fitted].sum(axis=0)
    common = np.flatnonzero(frequency >= MIN_ITEMS)
    weights = scipy.sparse.csr_array(table[:, common])
    weights.data *= np.log((1 + len(fitted)) / (1 + frequency[common]))[weights.indices]
    rows = np.repeat(np.arange(len(texts) + 1), np.diff(weights.indptr))
    lengths = np.sqrt((weights**2).sum(axis=1))
    # A word of all texts weighs nothing, and may be the only one of a text.
    weights.data /= np.where(lengths > 0, lengths, 1)[rows]
    return weights.astype(np.float32)


class WordEncoder(Encoder):
    """Texts by their words and pieces of words, in any language, without a model or the network.

    Each word, and each piece of :data:`GRAM` letters of a longer one, adds 1 or -1 to one place of
    the vector (feature hashing; Weinberger et al. 2009), long words more than short ones, which
    are often mere grammar. Texts are as alike as the words that they share: nothing is known of
    what words mean.

    :param size: length of the vectors; the longer, the fewer words share a place.
    """

    size: int = 512

    def __init__(self, size: int = 512) -> None:
        self.size = size

    def encode(self, values: Sequence[str]) -> Tensor:
        """Vectors ``(n, size)`` of norm 1; zero where a text has no word."""
        table = np.zeros((len(values), self.size), np.float32)
        for row, text in enumerate(values):
            for word in words_of(text):
                weight = 1.0 if _STARTS_UNSPACED.match(word) else min(1.0, len(word) / 6)
                around = f" {word} " if len(word) > GRAM else ""
                grams = [around[i : i + GRAM] for i in range(len(around) - GRAM + 1)]
                shares = [weight, *(weight / len(grams) ** 0.5 for _ in grams)]
                for piece, share in zip([word, *grams], shares, strict=True):
                    mark = crc32(piece.encode("utf-8", "surrogatepass"))
                    table[row, (mark >> 1) % self.size] += share if mark & 1 else -share
        return torch.nn.functional.normalize(torch.from_numpy(table), dim=1)
