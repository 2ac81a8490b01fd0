"""Texts into vectors."""

import torch

from lightrec.encoders.base import Encoder


class LetterShares(Encoder):
    """Counts letters.

    :param fault: what goes wrong: ``shape``, ``nan`` for a text with a 7, ``error``, or nothing.
    """

    size = 26

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def encode(self, texts):
        if self.fault == "error":
            raise ZeroDivisionError("no letters")
        counts = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        vectors = torch.tensor(counts, dtype=torch.float32).reshape(-1, 26)
        if self.fault == "nan":
            vectors[["7" in text for text in texts]] = torch.nan
        return vectors[:, :3] if self.fault == "shape" else vectors
