"""Indexes: the items whose rows have the largest products with queries.

Nothing here knows what rows and queries mean. Nothing but torch is imported, and FAISS by whoever
makes an approximate index.
"""

import math
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING

SCORES = 2**24
"""Number of scores computed at once."""
STEP = 1.25
"""The table grows by this factor where it is full."""
LINKS = 16
"""Links of each item in an approximate index's graph, in each direction."""
VECTOR = 8
"""Number of numbers multiplied at once."""
WIDTHS = (32, 64, 128, 256, 512, 1024)
"""Numbers of items of the graph that are looked at, the least and the most included."""


class Found(NamedTuple):
    """The best items of each query."""

    items: Tensor
    """(B, k) int64, best first; 0 in empty places."""
    scores: Tensor
    """(B, k) float32; minus infinity in empty places."""


class Flat:
    """Searches all rows: exact, whatever is allowed.

    Searches may go on in other threads while one thread puts: each sees a row or does not.

    :param table: (N + 1, D) the items' rows; row 0 is never found.
    :param bias: (N + 1,) what is added to an item's product; None for nothing.
    :raises ValueError: where shapes do not fit, or numbers are not finite.
    """

    def __init__(self, table: Tensor, bias: Tensor | None = None) -> None:
        if table.ndim != 2 or (bias is not None and bias.shape != table.shape[:1]):
            shapes = [tuple(part.shape) for part in (table, bias) if part is not None]
            raise ValueError(f"Expected a table (N + 1, D) and biases (N + 1,), not {shapes}.")
        bias = torch.zeros(len(table)) if bias is None else bias.detach().float().clone()
        rows = table.detach().float()
        if not (rows.isfinite().all() and bias.isfinite().all()):
            raise ValueError("An item's row or bias is infinite or not a number.")
        # Minus infinity keeps a row from being found.
        bias[PADDING] = -torch.inf
        # A row's numbers lie in a column: one query is multiplied four times as fast.
        self._columns = rows.T.contiguous(), bias
        self._count = len(rows)

    def __len__(self) -> int:
        """The number of rows: N + 1, and one for each put."""
        return self._count

    @property
    def table(self) -> Tensor:
        """The rows, (len, D)."""
        return self._columns[0][:, : self._count].T

    @property
    def bias(self) -> Tensor:
        """The biases, (len,); minus infinity for row 0."""
        return self._columns[1][: self._count]

    def put(self, row: Tensor, bias: float = 0.0) -> int:
        """Add an item.

        :param row: (D,).
        :returns: its index, the next one.
        :raises ValueError: where the row is of another length, or not finite.
        """
        row = self._checked(row, bias)
        columns, biases = self._columns
        index = self._count
        if index == len(biases):
            room = int(index * STEP) + 1 - index
            columns, biases = pad(columns, (0, room)), pad(biases, (0, room), value=-torch.inf)
            self._columns = columns, biases
        columns[:, index], biases[index] = row, bias
        self._count = index + 1
        return index

    def replace(self, index: int, row: Tensor, bias: float = 0.0) -> None:
        """Put another row in the place of an item's.

        :raises IndexError: where there is no such item.
        :raises ValueError: as in :meth:`put`.
        """
        if not PADDING < index < self._count:
            raise IndexError(f"There is no item {index}: items are 1 to {self._count - 1}.")
        columns, biases = self._columns
        columns[:, index], biases[index] = self._checked(row, bias), bias

    @torch.no_grad()
    def search(
        self, queries: Tensor, k: int, allowed: Tensor | None = None, seen: Tensor | None = None
    ) -> Found:
        """Find the k items that score highest, of equal ones those of lower indices.

        :param queries: (B, D).
        :param allowed: (M,) or (B, M) bool, M at most ``len``: items from M on, such as those put
            since, are not allowed; None for all.
        :param seen: (B, L) int64 items that a query must not find, 0 for none.
        :raises ValueError: where shapes do not fit, or a query is not finite.
        """
        count = self._count  # before the rows: there are at least so many
        columns, bias = self._columns
        check(queries, k, allowed, seen, count, len(columns))
        count = count if allowed is None else allowed.shape[-1]
        columns, bias = columns[:, :count], bias[:count]
        if allowed is not None and allowed.ndim == 1:
            bias, allowed = bias.masked_fill(~allowed, -torch.inf), None
        parts = []
        size = max(1, SCORES // count)
        for start in range(0, max(1, len(queries)), size):
            piece = slice(start, start + size)
            scores = torch.addmm(bias, queries[piece].float(), columns)
            if allowed is not None:
                scores.masked_fill_(~allowed[piece], -torch.inf)
            if seen is not None:
                # What was put since goes to row 0, which is never found.
                barred = seen[piece]
                scores.scatter_(1, barred.masked_fill(barred >= count, PADDING), -torch.inf)
            parts.append(top(scores, k))
        values, items = map(torch.cat, zip(*parts, strict=True))
        missing = (0, k - values.shape[1])
        values = pad(values, missing, value=-torch.inf)
        return Found(pad(items, missing) * (values > -torch.inf), values)

    def _checked(self, row: Tensor, bias: float) -> Tensor:
        size = self.table.shape[1]
        if row.shape != (size,) or not (row.isfinite().all() and math.isfinite(bias)):
            raise ValueError(
                f"Expected a row of {size} finite numbers and a finite bias, not a row of shape "
                f"{tuple(row.shape)} and {bias}."
            )
        return row


class Approximate(Flat):
    """Searches a graph of neighbours: most of the best items, of many, in a fraction of the time.

    Hierarchical navigable small worlds (Malkov and Yashunin 2018, arXiv 1603.09320) by FAISS, on
    rows and biases in half precision. What the graph finds is scored exactly. Exact, and as slow as
    :class:`Flat`, is a search in which less than half of the items are allowed, and one for whose
    query the graph finds too few that may come. Items that are put or replaced are scored exactly
    in each search: make the index anew when there are many.

    :param table: as for :class:`Flat`, and so is ``bias``.
    :param queries: (Q, D) a sample of what will be asked: they decide how much of the graph is
        looked through.
    :param wanted: the share of the exact ten best that is to be found.
    :raises ValueError: as for :class:`Flat`, and where there are no queries.
    """

    def __init__(
        self, table: Tensor, bias: Tensor | None, queries: Tensor, wanted: float = 0.98
    ) -> None:
        faiss: Any = import_module("faiss")  # its own types lack some of what it has
        super().__init__(table, bias)
        if not len(queries):
            raise ValueError("There are no queries to measure by how many of the best are found.")
        rows = torch.cat([self.table[1:], self.bias[1:, None]], 1)
        # The library is fast for such widths alone.
        self._room = -rows.shape[1] % VECTOR
        padded = pad(rows, (0, self._room)).numpy()
        half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        self._graph = faiss.IndexHNSWSQ(padded.shape[1], half, LINKS, product)
        self._graph.hnsw.efConstruction = WIDTHS[2]
        self._parameters = faiss.SearchParametersHNSW
        self._graph.train(padded[:1])
        self._graph.add(padded)
        self._current = torch.ones(len(table), dtype=torch.bool)
        """(N + 1,) whether the graph holds an item's row as it is now."""
        self._others: list[int] = []
        """The other items."""
        k = min(10, len(table) - 1)
        exact = super().search(queries, k)
        for self.width in WIDTHS:
            near = self.search(queries, k).items
            self.recall = float((exact.items[:, :, None] == near[:, None]).any(2).float().mean())
            """The share of the exact ten best that was found for the sample of queries."""
            if self.recall >= wanted:
                break

    def put(self, row: Tensor, bias: float = 0.0) -> int:
        """Add an item; see :meth:`Flat.put`."""
        index = super().put(row, bias)
        self._others = [*self._others, index]
        return index

    def replace(self, index: int, row: Tensor, bias: float = 0.0) -> None:
        """Put another row in the place of an item's; see :meth:`Flat.replace`."""
        super().replace(index, row, bias)
        if index < len(self._current) and self._current[index]:
            self._current[index] = False
            self._others = [*self._others, index]

    @torch.no_grad()
    def search(
        self, queries: Tensor, k: int, allowed: Tensor | None = None, seen: Tensor | None = None
    ) -> Found:
        """Find most of the k items that score highest; see :meth:`Flat.search`."""
        table, bias = self.table, self.bias
        check(queries, k, allowed, seen, len(table), table.shape[1])
        if not len(queries) or (allowed is not None and 2 * allowed.float().mean(-1).min() < 1):
            return super().search(queries, k, allowed, seen)
        queries = queries.float()
        barred = 0 if seen is None else int((seen > 0).sum(1).max())
        many = min((k + barred) * (1 if allowed is None else 2), WIDTHS[-1], len(self._current) - 1)
        parameters = self._parameters(efSearch=max(self.width, many))
        padded = pad(pad(queries, (0, 1), value=1.0), (0, self._room)).numpy()
        near = 1 + torch.from_numpy(self._graph.search(padded, many, params=parameters)[1])
        near = near * self._current[near]
        others = torch.tensor(self._others, dtype=torch.int64).expand(len(queries), -1)
        # In the order of their indices, so that of equal ones the first stay in front.
        items = torch.cat([near, others], 1).sort(dim=1).values
        scores = torch.einsum("bfd,bd->bf", table[items], queries) + bias[items]
        if allowed is not None:
            may = pad(allowed, (0, len(table) - allowed.shape[-1])).expand(len(queries), -1)
            scores = scores.masked_fill(~may.gather(1, items), -torch.inf)
        if seen is not None:
            scores = scores.masked_fill((items[:, :, None] == seen[:, None]).any(2), -torch.inf)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        missing = (0, max(0, k - scores.shape[1]))
        values = pad(scores[:, :k], missing, value=-torch.inf)
        items = pad(items.gather(1, order)[:, :k], missing) * (values > -torch.inf)
        for row in (values[:, -1] == -torch.inf).nonzero()[:, 0].tolist():
            one = slice(row, row + 1)
            mask = allowed[one] if allowed is not None and allowed.ndim == 2 else allowed
            exact = super().search(queries[one], k, mask, None if seen is None else seen[one])
            items[one], values[one] = exact
        return Found(items, values)


def top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest scores of each row, of equal ones the first: largest first.

    :param scores: (B, M).
    :returns: (B, K) scores and (B, K) int64 columns, K the smaller of k and M.
    """
    more = min(k + 1, scores.shape[1])
    values, columns = scores.topk(more)
    # The values are right; of equal ones any may have been taken.
    equal = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)
    for row in equal.any(1).nonzero()[:, 0].tolist():
        enough = (scores[row] >= values[row, -1]).nonzero()[:, 0]
        order = scores[row, enough].sort(descending=True, stable=True).indices[:more]
        columns[row] = enough[order]
    return values[:, :k], columns[:, :k]


def check(
    queries: Tensor, k: int, allowed: Tensor | None, seen: Tensor | None, count: int, size: int
) -> None:
    """See that a search makes sense; see :meth:`Flat.search`.

    :raises ValueError: where it does not.
    """
    if queries.ndim != 2 or queries.shape[1] != size:
        raise ValueError(f"Expected queries (B, {size}), not {tuple(queries.shape)}.")
    if not queries.isfinite().all():
        raise ValueError("A query is infinite or not a number.")
    if k < 1:
        raise ValueError(f"At least one item must be asked for, not {k}.")
    shapes = [(count,), (len(queries), count)]
    if allowed is not None and (
        allowed.dtype != torch.bool
        or (*allowed.shape[:-1], count) not in shapes
        or not 1 <= allowed.shape[-1] <= count
    ):
        raise ValueError(
            f"Expected {shapes[0]} or {shapes[1]} bool of what is allowed, or fewer columns, not "
            f"{tuple(allowed.shape)} {allowed.dtype}."
        )
    if seen is None:
        return
    if seen.ndim != 2 or len(seen) != len(queries):
        raise ValueError(f"Expected ({len(queries)}, L) seen items, not {tuple(seen.shape)}.")
    if seen.numel() and not 0 <= seen.min() <= seen.max() < count:
        raise ValueError(f"Seen items must lie between 0 and {count - 1}.")
