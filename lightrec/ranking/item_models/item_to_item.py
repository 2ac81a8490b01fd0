"""Scores by a matrix from items to items: what the items of a history say, recent ones louder.

The matrix is made of who had what (neighbours, EASE), of what followed what (co-occurrence,
next-item ridge), or of texts.
"""

from collections.abc import Callable
from typing import ClassVar, Final, Self, TypeAlias

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightrec.data.sequences import Sequences
from lightrec.encoders.base import on_disk, unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.errors import NotApplicable
from lightrec.nn.cooccurrence import cooccurrence
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details

DENSE: Final = 8_000
"""Items up to which a matrix is kept whole."""
KEPT: Final = 200
"""Heaviest columns of a row that are kept in a larger catalog."""
ROWS: Final = 1 << 23
"""Neighbours added up at once."""
SMALLEST: Final = 1e-3
"""Events whose decayed weight is below this are forgotten."""
BLOCK: Final = 1 << 26
"""Similarities computed at once."""
SORTED: Final = 1 << 12
"""Rows whose neighbours are sorted at once."""
SOLVED: Final = 1 << 10
"""Rows of a solved system that exist twice at once."""


Values: TypeAlias = NDArray[np.float32]


class ItemToItem(ItemModel):
    """Adds up the rows of a history's items, each times ``decay`` to the power of its age.

    Subclasses compute the matrix and hand it to :meth:`keep_matrix` or :meth:`keep_neighbours`.
    """

    SCORING: ClassVar[frozenset[str]] = frozenset({"decay"})

    matrix: Tensor | None
    """(N + 1, N + 1) float32, row and column 0 zero: from an item of the history to all items."""
    neighbours: Tensor
    """(N + 1, K) int32, in large catalogs, in place of the matrix: an item's heaviest columns;
    memory-mapped, like their weights, where they are large."""
    weights: Tensor
    """(N + 1, K) float32: what stands in those columns."""
    decay: float | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", None)

    def keep_matrix(self, matrix: Tensor) -> None:
        """Keep a whole matrix, (N, N), padded for index 0."""
        self.register_buffer("matrix", functional.pad(matrix.float(), (1, 0, 1, 0)))

    def keep_neighbours(self, neighbours: Tensor, weights: Tensor) -> None:
        """Keep some columns of each row.

        :param neighbours: (N, K) item indices 1 to N; 0 where a row has fewer.
        :param weights: (N, K), 0 where a row has fewer.
        """
        for name, table in {"neighbours": neighbours.int(), "weights": weights.float()}.items():
            self.register_buffer(name, on_disk(functional.pad(table, (0, 0, 1, 0))))

    def loudness(self, histories: Tensor) -> Tensor:
        """``decay`` to the power of each event's age in the histories: (B, L) float32."""
        decay = 1.0 if self.decay is None else self.decay
        ages = torch.arange(histories.shape[1] - 1, -1, -1, device=histories.device)
        return (decay**ages).expand(histories.shape).contiguous()

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1)."""
        loudness = self.loudness(histories)
        if self.matrix is not None:
            return functional.embedding_bag(
                histories, self.matrix, per_sample_weights=loudness, mode="sum", padding_idx=0
            )
        total = torch.zeros(len(histories), len(self.neighbours), device=histories.device)
        step = max(1, ROWS // max(histories.shape[1] * self.neighbours.shape[1], 1))
        for start in range(0, len(histories), step):
            rows = slice(start, start + step)
            heavy = self.weights[histories[rows]] * loudness[rows, :, None]
            columns = self.neighbours[histories[rows]].flatten(1).long()
            total[rows] = total[rows].scatter_add(1, columns, heavy.flatten(1))
        return total


def users_by_items(log: Sequences, num_items: int) -> "scipy.sparse.csr_array":
    """(U, N) float32: 1 where a user had an item; column i - 1 is item i."""
    entries = np.ones(len(log.items), np.float32), np.asarray(log.items) - 1, log.offsets
    matrix = scipy.sparse.csr_array(entries, shape=(len(log.offsets) - 1, num_items), copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


class ItemKNN(ItemToItem):
    """Cosine similarity of items over the users that had them (Sarwar et al. 2001, with the
    shrinkage of Bell and Koren 2007).

    :param shrinkage: added to the denominator, so that few shared users count less.
    :param decay: what an item of a history counts less for each event since.
    """

    GRID: ClassVar = {"shrinkage": (10.0, 100.0), "decay": (1.0, 0.95, 0.9, 0.8)}

    def __init__(self, shrinkage: float | None = None, decay: float | None = None) -> None:
        super().__init__()
        self.shrinkage, self.decay = shrinkage, decay

    def fit(self, evidence: Evidence) -> Self:
        """Count shared users."""
        shrinkage = 10.0 if self.shrinkage is None else self.shrinkage
        events = users_by_items(evidence.log, evidence.num_items)
        shared = scipy.sparse.csr_array(events.T @ events)
        norms = np.sqrt(shared.diagonal())
        rows = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
        shared.data /= norms[rows] * norms[shared.indices] + shrinkage
        shared.data[rows == shared.indices] = 0
        keep_sparse(self, shared)
        return self


class TextNeighbours(ItemToItem):
    """Similarity of items' texts: the cosine of their centred vectors, raised to a power.

    Like words, it knows items without a single event.

    :param power: of the cosine; the higher, the fewer neighbours speak.
    :param decay: what an item of a history counts less for each event since.
    """

    GRID: ClassVar = {"power": (1.0, 3.0, 6.0), "decay": (1.0, 0.9, 0.8)}

    def __init__(self, power: float | None = None, decay: float | None = None) -> None:
        super().__init__()
        self.power, self.decay = power, decay

    def keep_cosines(self, evidence: Evidence, cosines: Callable[[slice], Tensor]) -> None:
        """Keep powers of cosines, without those of items with themselves.

        :param evidence: of N items.
        :param cosines: gives those of some rows, (n, N).
        """
        power, count = 3.0 if self.power is None else self.power, evidence.num_items
        if count <= DENSE:
            near = cosines(slice(0, count)).clamp_min_(0) ** power
            near.diagonal().zero_()
            self.keep_matrix(near)
            return
        found, name = evidence.found, type(self).__name__
        if name not in found:
            # For any power the same are nearest: they are looked for once.
            neighbours = torch.zeros(count, min(KEPT, count), dtype=torch.int32)
            weights, step = torch.zeros(neighbours.shape), max(1, BLOCK // count)
            for start in range(0, count, step):
                rows = slice(start, start + step)
                near = cosines(rows).clamp_min_(0)
                near.diagonal(start).zero_()
                weights[rows], places = near.topk(neighbours.shape[1], dim=1)
                neighbours[rows] = places.int() + 1
            found[name] = neighbours, weights
        neighbours, cosine = found[name]
        self.keep_neighbours(neighbours, cosine**power)

    def fit(self, evidence: Evidence) -> Self:
        """Compare all texts."""
        vectors = unit_vectors(evidence.vectors)[1:]
        if not vectors.any():
            raise NotApplicable("The items have no texts, or there is no text encoder.")
        self.keep_cosines(evidence, lambda rows: vectors[rows] @ vectors.T)
        return self


class WordNeighbours(TextNeighbours):
    """Similarity of items' words: the cosine of their tf-idf, raised to a power.

    Words tell brands and names exactly, which vectors may miss.
    """

    def fit(self, evidence: Evidence) -> Self:
        """Compare all words."""
        warm = np.unique(evidence.log.items)
        words = word_weights(evidence.texts, warm)[1:] if len(evidence.texts) else None
        if words is None or not words.nnz:
            raise NotApplicable("The items have no words in common, or there is no text encoder.")
        across = words.T.tocsr()
        self.keep_cosines(evidence, lambda rows: torch.from_numpy((words[rows] @ across).toarray()))
        return self


def keep_sparse(model: ItemToItem, matrix: "scipy.sparse.csr_array") -> None:
    """Keep a sparse (N, N) matrix whole where the catalog is small, else each row's heaviest."""
    if matrix.shape[0] <= DENSE:
        model.keep_matrix(torch.from_numpy(matrix.toarray().astype(np.float32)))
        return
    width = int(min(KEPT, np.diff(matrix.indptr).max(initial=1)))
    neighbours = np.zeros((matrix.shape[0], width), np.int32)
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


class DirectionalCooccurrence(ItemToItem):
    """Frequency of an item soon after another: ``decay ** (gap - 1)`` for each time, divided by
    powers of the popularity of both.

    :param decay: per step between two events, in counting and in scoring.
    :param reach: steps up to which two events count.
    :param power: of the popularity of the earlier item: 1 makes a transition probability.
    :param power_after: of the popularity of the later item; holds popular ones down.
    """

    GRID: ClassVar = {"decay": (0.8, 0.9), "power_after": (0.0, 0.25, 0.5)}
    SCORING: ClassVar = frozenset[str]()

    def __init__(
        self,
        decay: float | None = None,
        reach: int = 10,
        power: float = 0.75,
        power_after: float | None = None,
    ) -> None:
        super().__init__()
        self.decay, self.reach, self.power = decay, reach, power
        self.power_after = power_after

    def fit(self, evidence: Evidence) -> Self:
        """Count pairs."""
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that nothing follows anything.")
        decay = 0.8 if self.decay is None else self.decay
        after = 0.25 if self.power_after is None else self.power_after
        log = evidence.log
        size, worths = evidence.num_items, evidence.worths
        counts = cooccurrence(log.items, log.offsets, size, decay, self.reach, worths)
        popularity = np.maximum(evidence.counts()[1:].numpy(), 1)
        earlier = scipy.sparse.diags_array(popularity**-self.power)
        later = scipy.sparse.diags_array(popularity**-after)
        keep_sparse(self, scipy.sparse.csr_array(earlier @ counts @ later))
        return self


class Regression(ItemToItem):
    """An item-to-item matrix that solves a linear system of all items, or of the most popular.

    All is computed in place, in single precision: of 20,000 items a matrix takes 1.6 GB, and the
    work grows with their cube.
    """

    CUBIC: ClassVar = True

    def keep_solution(self, matrix: Values, evidence: Evidence) -> None:
        """Keep what was solved whole where the catalog is small, else each row's heaviest.

        :param matrix: (M, M), of the items ``evidence.solved``.
        """
        solved, count = torch.from_numpy(evidence.solved), evidence.num_items
        if count <= DENSE:
            whole = torch.zeros(count, count)
            whole[solved[:, None], solved] = torch.from_numpy(np.ascontiguousarray(matrix))
            self.keep_matrix(whole)
            return
        width = min(KEPT, len(solved))
        neighbours = torch.zeros(count, width, dtype=torch.int32)
        weights = torch.zeros(count, width)
        for first in range(0, len(solved), SOLVED):
            part = np.ascontiguousarray(matrix[first : first + SOLVED])
            heaviest = torch.from_numpy(part).topk(width, dim=1)
            rows = solved[first : first + SOLVED]
            neighbours[rows] = solved[heaviest.indices].int() + 1
            weights[rows] = heaviest.values
        self.keep_neighbours(neighbours, weights)


def cholesky(gram: Values, l2: float) -> Values:
    """Factor a matrix with ``l2`` on its diagonal, in its own memory.

    :param gram: (M, M) in rows, symmetric; what is above its diagonal is not looked at.
    :returns: (M, M) in columns; what is below its diagonal means nothing.
    """
    gram[np.diag_indices_from(gram)] += l2
    return scipy.linalg.cho_factor(gram.T, overwrite_a=True, check_finite=False)[0]


class EASE(Regression):
    """Each item regressed on all others, over users (Steck 2019, "Embarrassingly shallow
    autoencoders", equation 8).

    :param l2: of the regression.
    :param decay: what an item of a history counts less for each event since, in scoring.
    """

    GRID: ClassVar = {"l2": (50.0, 200.0, 800.0), "decay": (1.0, 0.95, 0.9, 0.8)}

    def __init__(self, l2: float | None = None, decay: float | None = None) -> None:
        super().__init__()
        self.l2, self.decay = l2, decay

    def fit(self, evidence: Evidence) -> Self:
        """Solve for the matrix, whose diagonal is 0."""
        solved = evidence.solved
        events = users_by_items(evidence.log, evidence.num_items)[:, solved]
        transposed = scipy.sparse.csr_array(events.T)
        matrix = np.empty((len(solved), len(solved)), np.float32)
        for first in range(0, len(solved), SOLVED):
            rows = slice(first, first + SOLVED)
            (transposed[rows] @ events).toarray(out=matrix[rows])
        factor = cholesky(matrix, 200.0 if self.l2 is None else self.l2)
        # The inverse's upper half in columns is its lower half in rows.
        inverse = scipy.linalg.lapack.spotri(factor, overwrite_c=True)[0].T
        for first in range(0, len(solved), SOLVED):
            rows, later = slice(first, first + SOLVED), slice(first + SOLVED, None)
            inverse[rows, later] = inverse[later, rows].T
            lower = np.tril(inverse[rows, rows], -1)
            inverse[rows, rows] = lower + lower.T + np.diag(np.diag(inverse[rows, rows]))
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        self.keep_solution(inverse, evidence)
        return self


class NextItemRidge(Regression):
    """The next item regressed on the decayed history before it, at every event (SLIST, Choe et al.
    2021, "Session-aware linear item-item models", without its weights over sessions).

    :param l2: of the regression.
    :param decay: what an item of a history counts less for each event since.
    :param reach: events that a history looks back at in fitting.
    """

    GRID: ClassVar = {"l2": (100.0, 300.0, 1000.0), "decay": (0.8, 0.9)}
    SCORING: ClassVar = frozenset[str]()

    def __init__(
        self,
        l2: float | None = None,
        decay: float | None = None,
        reach: int = 30,
    ) -> None:
        super().__init__()
        self.l2, self.decay, self.reach = l2, decay, reach

    def fit(self, evidence: Evidence) -> Self:
        """Solve for the matrix."""
        if not evidence.is_ordered:
            raise NotApplicable("The log has no order, so that there is no next item.")
        l2 = 300.0 if self.l2 is None else self.l2
        # One after the other, since each takes a square of the items.
        gram = self._products(evidence, following=False)
        cross = self._products(evidence, following=True)
        factor = cholesky(gram, l2), False
        solution = scipy.linalg.cho_solve(factor, cross.T, overwrite_b=True, check_finite=False)
        del gram, factor
        self.keep_solution(solution, evidence)
        return self

    def _products(self, evidence: Evidence, following: bool) -> Values:
        """Sum the products of decayed histories with themselves, or with what followed them.

        In a history, the item g events ago counts ``decay ** g``, and a history counts by the worth
        of the event that follows it. Two events of a user are in all histories from the later one
        on that reach back to the earlier one: each pair is added once, times what these sum to.

        :returns: (M, M): items by items, of which the half above the diagonal is left out, or the
            next item by items.
        """
        log, decay = evidence.log, 0.8 if self.decay is None else self.decay
        solved = evidence.solved
        place = np.full(evidence.num_items, -1)
        place[solved] = np.arange(len(solved))
        items, events = place[np.asarray(log.items) - 1], np.arange(len(log.items))
        left = log.offsets[log.users_of(events) + 1] - events - 1
        follows = np.append(evidence.worths[1:], np.float32(0))
        table = np.zeros(len(solved) ** 2, np.float32)

        def add(rows: NDArray[np.int64], columns: NDArray[np.int64], by: Values) -> None:
            in_system = (rows >= 0) & (columns >= 0)
            np.add.at(table, (rows * len(solved) + columns)[in_system], by[in_system])

        both = np.zeros(len(items), np.float32)
        reach = sum(decay**gap >= SMALLEST for gap in range(self.reach))
        for gap in reversed(range(reach)):
            if following:
                earlier = np.flatnonzero(left > gap)
                worth = decay**gap * follows[earlier + gap]
                add(items[earlier + gap + 1], items[earlier], worth)
                continue
            further = reach - 1 - gap
            later = np.flatnonzero(left > further)
            both[later] += decay ** (2 * further) * follows[later + further]
            earlier = np.flatnonzero(left >= gap)
            one, other = items[earlier], items[earlier + gap]
            # An item that came twice meets itself in both orders.
            times = np.where((one == other) & (gap > 0), np.float32(2), np.float32(1))
            values = decay**gap * both[earlier + gap] * times
            add(np.maximum(one, other), np.minimum(one, other), values)
        return table.reshape(len(solved), -1)
