"""Scores by a matrix from items to items: what the items of a history say, recent ones louder."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.ranking.item_models.base import Evidence, ItemModel, Setting

DENSE: Final = 8_000
"""Up to so many items a matrix is kept whole."""
ROWS: Final = 1 << 23
"""How many neighbours are added up at once."""


class ItemToItem(ItemModel):
    """Adds up the rows of a history's items, each times ``decay`` to the power of its age.

    Subclasses compute the matrix and hand it to :meth:`keep_matrix` or :meth:`keep_neighbours`.
    """

    matrix: Tensor | None
    """(N + 1, N + 1) float32, row and column 0 zero: from an item of the history to all items."""
    neighbours: Tensor
    """(N + 1, K) int64, in large catalogs, in place of the matrix: an item's heaviest columns."""
    weights: Tensor
    """(N + 1, K) float32: what stands in those columns."""
    decay: float | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", None)

    def values(self, evidence: Evidence) -> dict[str, "list[Setting]"]:  # type: ignore[override]
        """Which values have to be tried; without an order no age, and so no decay."""
        values = {name: list(tried) for name, tried in super().values(evidence).items()}
        if "decay" in values and not evidence.is_ordered:
            values["decay"] = [1.0]
        return values

    def keep_matrix(self, matrix: Tensor) -> None:
        """Keep a whole matrix, (N, N), padded for index 0."""
        self.keep("matrix", functional.pad(matrix.float(), (1, 0, 1, 0)))

    def keep_neighbours(self, neighbours: Tensor, weights: Tensor) -> None:
        """Keep some columns of each row.

        :param neighbours: (N, K) item indices 1 to N; 0 where a row has fewer.
        :param weights: (N, K), 0 where a row has fewer.
        """
        self.keep("neighbours", functional.pad(neighbours, (0, 0, 1, 0)))
        self.keep("weights", functional.pad(weights.float(), (0, 0, 1, 0)))

    def scores(self, history: Tensor) -> Tensor:
        """Score all items: (B, N + 1)."""
        decay = 1.0 if self.decay is None else self.decay
        ages = torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
        loudness = (decay**ages).expand(history.shape).contiguous()
        if self.matrix is not None:
            return functional.embedding_bag(
                history, self.matrix, per_sample_weights=loudness, mode="sum", padding_idx=0
            )
        width = len(self.neighbours)
        total = torch.zeros(len(history), width, device=history.device)
        step = max(1, ROWS // max(history.shape[1] * self.neighbours.shape[1], 1))
        for start in range(0, len(history), step):
            rows = slice(start, start + step)
            heavy = self.weights[history[rows]] * loudness[rows, :, None]
            columns = self.neighbours[history[rows]].flatten(1)
            total[rows] = total[rows].scatter_add(1, columns, heavy.flatten(1))
        return total
