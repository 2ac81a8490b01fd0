"""The same scores for everybody: popularity, and popularity of late."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from lightrec.ranking.item_models.base import Evidence, ItemModel, NotApplicable, Setting


class Popularity(ItemModel):
    """Scores an item by its number of training events."""

    counts: Tensor
    """(N + 1,) float32."""

    def __init__(self) -> None:
        super().__init__()

    def fit(self, evidence: Evidence) -> Self:
        """Count."""
        self.keep("counts", evidence.counts())
        return self

    def scores(self, history: Tensor) -> Tensor:
        """Score all items: (B, N + 1)."""
        return self.counts.expand(len(history), -1)


class RecentPopularity(Popularity):
    """Scores an item by its training events, each halved for every half-life that has passed.

    :param half_life: as a share of the time from the first training event to the last.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {"half_life": (0.003, 0.01, 0.03, 0.1, 0.3)}
    SCORING: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, half_life: float | None = None) -> None:
        super().__init__()
        self.half_life = half_life

    def fit(self, evidence: Evidence) -> Self:
        """Count, recent events more.

        :raises NotApplicable: where the log has no times.
        """
        times = np.asarray(evidence.log.times, dtype=np.float64)
        if not evidence.has_times or not len(times) or times.max() == times.min():
            raise NotApplicable("The log has no times, so that nothing is recent.")
        age = (times.max() - times) / (times.max() - times.min())
        half_life = 0.03 if self.half_life is None else self.half_life
        items = np.asarray(evidence.log.items, dtype=np.int64)
        counts = np.bincount(items, 0.5 ** (age / half_life), evidence.num_items + 1)
        self.keep("counts", torch.from_numpy(counts).float())
        return self
