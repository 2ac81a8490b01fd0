"""What of a text encoder is tuned on a log: parts that give vectors, learn, and save themselves.

Each knows the catalog's different texts by their numbers.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightrec.encoders.text import TextEncoder


class Tuned(nn.Module):
    """A part that is tuned: texts, by number, into vectors."""

    exact: ClassVar[bool]
    """Whether the vectors of all texts cost so little that each step computes them."""
    batch_size: ClassVar[int]
    """Texts in a batch where the recipe does not say."""
    learning_rate: ClassVar[float]
    """The highest learning rate where the recipe does not say."""

    @abstractmethod
    def forward(self, numbers: Tensor) -> Tensor:
        """Give the vectors of texts, (B,) int64 from 1, as (B, V) of norm 1; differentiable."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Give what learns as the optimizer's groups; without a rate of their own, at ``rate``."""
        return [{"params": [own for own in self.parameters() if own.requires_grad]}]

    @abstractmethod
    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder as it is now into an existing folder.

        :param noted: how it was made.
        """


class LinearMap(Tuned):
    """A square linear map of an encoder's vectors, which starts as the identity.

    :param size: length of the vectors V.
    """

    exact = True
    batch_size = 512
    learning_rate = 3e-3
    given: Tensor
    """(D + 1, V) float32, the texts' vectors as the encoder gives them; row 0 zero."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(size, size))
        self.register_buffer("given", torch.zeros(1, size), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Map the given vectors."""
        own = self.given[numbers]
        return nn.functional.normalize(own + own @ self.change.T, dim=1)

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with the map as its last dense layer."""
        change = self.change.detach().cpu()
        encoder.save(folder, noted, torch.eye(len(change)) + change)
