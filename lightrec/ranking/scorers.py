"""What scores items, and what it may know of a history: types alone."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from torch import Tensor

Details: TypeAlias = Mapping[str, Tensor] | None
"""A batch of which histories are, or what else has their ``Key.FEEDBACK`` and ``Key.GAP``,
(B, L) int64; None where nothing but the items is known."""


class ItemScorer(Protocol):
    """What scores all items for histories: rankers, item models, their blend, user models."""

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items.

        :param histories: (B, L) int64, padded on the left, any L.
        :param users: (B,) int64, rows of the log's user table; None where they are not known.
        :returns: (B, N + 1), higher is better; column 0 means nothing.
        """
        ...


Scorer = Callable[[Mapping[str, Tensor]], Tensor]
"""From a batch (history (B, L), user (B,), …) to scores (B, N + 1), higher is better."""
