"""The item tower: ids, projected text vectors, or their sum."""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from lightrec.keys import PADDING


class ItemTower(nn.Module):
    """Item vectors from ids, from texts by a linear map, or their sum.

    :param num_items: number of items N.
    :param size: length D of the vectors given.
    :param vector_size: length of the text vectors V; 0 where there are none.
    :param use_ids: whether every item has a vector of its own.
    :raises ValueError: where items have neither ids nor texts.
    """

    vectors: Tensor
    """(N + 1, V) float32 text vectors, row 0 zero; a buffer, saved with the weights."""

    def __init__(self, num_items: int, size: int, vector_size: int, use_ids: bool) -> None:
        super().__init__()
        if not (use_ids or vector_size):
            raise ValueError(
                "Items need an id embedding or text vectors: set use_ids to true, or give a text "
                "encoder."
            )
        self.num_items, self.size = num_items, size
        self.sparse = False
        """Whether gradients of ids hold the rows alone that were asked for."""
        self.ids = nn.Parameter(torch.randn(num_items + 1, size) * 0.02) if use_ids else None
        self.project = nn.Linear(vector_size, size, bias=False) if vector_size else None
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        if self.project is not None and use_ids:
            # Next to an id the text counts for nothing at first.
            nn.init.zeros_(self.project.weight)
        if self.ids is not None:
            self.ids.data[PADDING] = 0

    @property
    def uses_text(self) -> bool:
        """Whether there are text vectors."""
        return self.vectors.shape[1] > 0

    def set_vectors(self, vectors: Tensor) -> None:
        """Take text vectors, (N + 1, V); the buffer becomes this very tensor where it can."""
        if vectors.shape != self.vectors.shape:
            raise ValueError(
                f"Text vectors of shape {tuple(vectors.shape)} do not fit: expected "
                f"{tuple(self.vectors.shape)}."
            )
        self.vectors = vectors.to(self.vectors.device, torch.float32)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """Item vectors.

        :param items: any shape, int64; None for all N + 1 rows.
        :returns: ``(*items.shape, D)`` or ``(N + 1, D)``; zeros for padding.
        """
        parts = []
        if self.ids is not None:
            ids = self.ids
            parts.append(ids if items is None else embedding(items, ids, sparse=self.sparse))
        if self.project is not None:
            parts.append(self.project(self.vectors if items is None else self.vectors[items]))
        total = sum(parts[1:], parts[0])
        if items is None:
            items = torch.arange(len(total), device=total.device)
        return total * (items != PADDING).unsqueeze(-1)
