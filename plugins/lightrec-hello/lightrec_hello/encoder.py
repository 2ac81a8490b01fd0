"""Texts into vectors."""

from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor

from lightrec.api import Encoder


class HelloEncoder(Encoder):
    """Counts words: each word adds 1 at a place that its letters decide."""

    size = 64  # the length of the vectors

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts.

        :returns: ``(len(texts), size)`` float32.
        """
        vectors = torch.zeros(len(texts), self.size)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, crc32(word.encode()) % self.size] += 1
        return vectors
