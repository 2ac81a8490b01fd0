"""Scorers of items, what they may know of a history, and what lists keep to."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import polars as pl
from torch import Generator, Tensor

from lightrec.encoders.base import Encoder
from lightrec.keys import Key

Details: TypeAlias = Mapping[str, Tensor] | None
"""A batch of which histories are, or what else has their ``Key.FEEDBACK`` and ``Key.GAP``,
(B, L) int64; None where nothing but the items is known."""


class ItemScorer(Protocol):
    """A scorer of all items for histories: item models, their blend, user models, policies."""

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


def by_history(part: ItemScorer) -> Scorer:
    """Make a scorer of batches of what scores histories."""
    return lambda batch: part.scores(batch[Key.HISTORY], batch.get(Key.USER), details=batch)


class Standing(Protocol):
    """Standing rules of a run for its catalog, to which every list keeps: the part ``rules``."""

    there: Tensor
    """(N + 1,) bool: which items may come at all."""
    boost: Tensor
    """(N + 1,) float32, added to the logarithms of items' weights; 0 changes nothing."""

    def fill(
        self,
        scores: Tensor,
        length: int,
        people: pl.DataFrame | None = None,
        *,
        fresh: Tensor | None = None,
        mine: Tensor | None = None,
        generator: Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Fill lists (B, k) from logarithms of weights (B, N + 1), and give the propensities.

        :param fresh: (B, N + 1) those of new items, -inf for others; None where there are none.
        :param mine: (B, k) bool: the places that are kept for these.
        :param generator: draws items by the law of Plackett and Luce; None: the best come.
        """
        ...

    def varied(
        self, counts: Tensor, vectors: Tensor, length: int, people: pl.DataFrame | None
    ) -> tuple[Tensor, Tensor]:
        """Fill lists (B, k) with popular items that differ, and give their marginal relevance.

        :param counts: (B, N + 1) numbers of events, -inf for what may not come.
        :param vectors: (N + 1, D) of the items.
        """
        ...


class Wishes(Protocol):
    """Reads requests in words: the part ``wishes``."""

    encoder: Encoder | None
    """Encoder that reads them; None where words alone do."""

    def scores(self, wish: str, kind: str) -> tuple[Tensor, float]:
        """Score all items (N + 1,) for a request, and give the weight of what the history says.

        :param kind: ``history``, or ``alone`` where there is none.
        """
        ...

    def answering(self, wish: str) -> Tensor | None:
        """Which items have a word of a request, (N + 1,) bool; None where vectors read it."""
        ...
