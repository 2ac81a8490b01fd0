"""Neighbours of items: by the users that they share, and by their texts."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from lightrec.ranking.item_models.base import Evidence, NotApplicable, Setting
from lightrec.ranking.item_models.item_to_item import DENSE, ItemToItem
from lightrec.ranking.item_models.pairs import users_by_items

BLOCK = 1 << 26
"""Similarities computed at once."""
SORTED = 1 << 12
"""Rows whose neighbours are sorted at once."""


class ItemKNN(ItemToItem):
    """Cosine similarity of items over the users that had them (Sarwar et al. 2001, with the
    shrinkage of Bell and Koren 2007).

    :param shrinkage: added to the denominator, so that few shared users count less.
    :param decay: what an item of a history counts less for each event since.
    :param size: how many neighbours an item keeps where the catalog is large.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {
        "shrinkage": (10.0, 100.0),
        "decay": (1.0, 0.95, 0.9, 0.8),
    }

    def __init__(
        self, shrinkage: float | None = None, decay: float | None = None, size: int = 200
    ) -> None:
        super().__init__()
        self.shrinkage, self.decay, self.size = shrinkage, decay, size

    def fit(self, evidence: Evidence) -> Self:
        """Count shared users."""
        shrinkage = 10.0 if self.shrinkage is None else self.shrinkage
        events = users_by_items(evidence.log, evidence.num_items)
        shared = sparse.csr_array(events.T @ events)
        norms = np.sqrt(shared.diagonal())
        rows = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
        shared.data /= norms[rows] * norms[shared.indices] + shrinkage
        shared.data[rows == shared.indices] = 0
        keep_sparse(self, shared, self.size)
        return self


class TextNeighbours(ItemToItem):
    """Similarity of items' texts: the cosine of their centred vectors, raised to a power.

    The only item model that knows items without a single event.

    :param power: of the cosine; the higher, the fewer neighbours speak.
    :param decay: what an item of a history counts less for each event since.
    :param size: how many neighbours an item keeps where the catalog is large.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {
        "power": (1.0, 3.0, 6.0),
        "decay": (1.0, 0.9, 0.8),
    }

    def __init__(
        self, power: float | None = None, decay: float | None = None, size: int = 200
    ) -> None:
        super().__init__()
        self.power, self.decay, self.size = power, decay, size

    def fit(self, evidence: Evidence) -> Self:
        """Compare all texts.

        :raises NotApplicable: where the items have no text vectors.
        """
        vectors = unit_vectors(evidence.vectors)[1:]
        if not vectors.any():
            raise NotApplicable("The items have no texts, or there is no text encoder.")
        power = 3.0 if self.power is None else self.power
        if evidence.num_items <= DENSE:
            matrix = (vectors @ vectors.T).clamp_min(0) ** power
            self.keep_matrix(matrix.fill_diagonal_(0))
            return self
        step = max(1, BLOCK // len(vectors))
        found = []
        for start in range(0, len(vectors), step):
            near = (vectors[start : start + step] @ vectors.T).clamp_min(0) ** power
            near[torch.arange(len(near)), torch.arange(start, start + len(near))] = 0
            found.append(near.topk(min(self.size, len(vectors)), dim=1))
        weights = torch.cat([near.values for near in found])
        self.keep_neighbours(torch.cat([near.indices for near in found]) + 1, weights)
        return self


def unit_vectors(vectors: Tensor) -> Tensor:
    """Centre text vectors and bring them to length 1; rows of zeros, which are no text, stay so.

    :param vectors: (M, V).
    """
    known = vectors.any(dim=1, keepdim=True)
    count = known.sum().clamp_min(1)
    return functional.normalize((vectors - vectors.sum(0) / count) * known, dim=1)


def keep_sparse(model: ItemToItem, matrix: sparse.csr_array, size: int) -> None:
    """Keep a sparse (N, N) matrix whole where the catalog is small, else each row's heaviest.

    :param size: how many entries a row of a large matrix keeps.
    """
    if matrix.shape[0] <= DENSE:
        model.keep_matrix(torch.from_numpy(matrix.toarray().astype(np.float32)))
        return
    width = int(min(size, np.diff(matrix.indptr).max(initial=1)))
    neighbours = np.zeros((matrix.shape[0], width), np.int64)
    weights = np.zeros((matrix.shape[0], width), np.float32)
    # Piece by piece, since sorting takes several times the memory of what is sorted.
    for first in range(0, matrix.shape[0], SORTED):
        part = matrix[first : first + SORTED]
        rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        order = np.lexsort((-part.data, rows))
        place = np.arange(len(rows)) - part.indptr[rows]
        kept, place = order[place < width], place[place < width]
        neighbours[first + rows[kept], place] = part.indices[kept] + 1
        weights[first + rows[kept], place] = part.data[kept]
    model.keep_neighbours(torch.from_numpy(neighbours), torch.from_numpy(weights))
