"""Where item embeddings start: leading eigenvectors of a decayed co-occurrence matrix."""

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

PAIRS = 40_000_000
"""Pairs of events counted at most (about 500 MB); a longer log has a shorter reach."""
DENSE = 3_000
"""Items up to which the matrix is decomposed as a dense one."""


def cooccurrence(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    num_items: int,
    decay: float,
    reach: int,
    worths: NDArray[np.float32] | None = None,
) -> "scipy.sparse.csr_array":
    """Count how often items come near each other in a history.

    :param items: (E,) item indices 1 to N, each user's together and in order.
    :param offsets: (U + 1,) where users begin.
    :param num_items: N.
    :param decay: two events g steps apart count ``decay ** (g - 1)``.
    :param reach: steps up to which they count.
    :param worths: (E,) by which a pair counts, that of its later event; None: all count alike.
    :returns: (N, N) float32, earlier item by later item; row i - 1 is item i.
    """
    reach = max(1, min(reach, PAIRS // max(len(items), 1)))
    users = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    items = np.asarray(items, dtype=np.int32) - 1
    total = scipy.sparse.csr_array((num_items, num_items), dtype=np.float32)
    for gap in range(1, min(reach, len(items) - 1) + 1):
        same = users[:-gap] == users[gap:]
        if not same.any():
            break
        pair = (items[:-gap][same], items[gap:][same])
        value = np.full(same.sum(), decay ** (gap - 1), dtype=np.float32)
        if worths is not None:
            value *= worths[gap:][same]
        total = total + scipy.sparse.coo_array((value, pair), shape=total.shape).tocsr()
    return total


def leading_vectors(matrix: "scipy.sparse.csr_array", size: int, seed: int = 0) -> Tensor:
    """Leading eigenvectors of a symmetrised, degree-normalised co-occurrence matrix.

    With C the matrix plus its transpose and d its row sums, these are the vectors of
    ``diag(d)^-½ C diag(d)^-½``, each times the root of its (positive) eigenvalue.

    :param matrix: (N, N), from :func:`cooccurrence`.
    :param size: number of vectors D; columns beyond N - 1 are zero.
    :param seed: of the iteration's first vector.
    :returns: (N + 1, D) float32, row 0 zero, the root mean square of the others' norms 1.
    """
    num_items = matrix.shape[0]
    degree = np.asarray(matrix.sum(axis=0) + matrix.sum(axis=1), dtype=np.float64).ravel()
    scale = np.where(degree > 0, np.maximum(degree, 1e-12) ** -0.5, 0).astype(np.float32)
    count = min(size, num_items - 1)
    table = torch.zeros(num_items + 1, size)
    if count < 1 or not degree.any():
        return table
    if num_items <= DENSE:
        dense = (matrix + matrix.T).toarray() * scale[:, None] * scale
        value, vector = scipy.linalg.eigh(dense, subset_by_index=(num_items - count, num_items - 1))
    else:
        transposed = matrix.T

        def times(x: NDArray[np.float32]) -> NDArray[np.float32]:
            x = x.reshape(-1) * scale
            return scale * (matrix @ x + transposed @ x)

        operator = scipy.sparse.linalg.LinearOperator(matrix.shape, matvec=times, dtype=np.float32)
        first = np.random.default_rng(seed).standard_normal(num_items).astype(np.float32)
        value, vector = scipy.sparse.linalg.eigsh(
            operator, k=count, which="LA", v0=first, ncv=2 * count + 1, tol=1e-2
        )
    vector = vector * np.sqrt(np.maximum(value, 0))
    # An eigenvector's sign is arbitrary: fix it, so that the same log gives the same start.
    vector *= np.where(vector[np.abs(vector).argmax(axis=0), np.arange(count)] < 0, -1, 1)
    vector /= max(float(np.sqrt((vector**2).sum(axis=1).mean())), 1e-12)
    table[1:, :count] = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float32))
    return table
