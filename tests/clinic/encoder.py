"""Texts into vectors."""

import torch

from lightrec.encoders.base import Encoder


class LetterShares(Encoder):
    """Counts letters."""

    size = 26

    def encode(self, texts):
        counts = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return torch.tensor(counts, dtype=torch.float32).reshape(-1, 26)
