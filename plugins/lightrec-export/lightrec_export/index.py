"""Indexes: the items whose rows have the largest products with queries.

Nothing here knows what rows and queries mean. Nothing but torch is imported, and FAISS by whoever
makes an approximate index.
"""

from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING

SCORES = 2**24
"""Number of scores computed at once."""
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

    :param table: (N + 1, D) the items' rows; row 0 is never found.
    :param bias: (N + 1,) what is added to an item's product; None for nothing.
    """

    def __init__(self, table: Tensor, bias: Tensor | None = None) -> None:
        # A row's numbers lie in a column: one query is multiplied four times as fast.
        self.table = table.detach().float().T.contiguous().T
        """(N + 1, D) the rows."""
        self.bias = torch.zeros(len(table)) if bias is None else bias.detach().float().clone()
        """(N + 1,) the biases; minus infinity, which keeps a row from being found, for row 0."""
        self.bias[PADDING] = -torch.inf

    @torch.no_grad()
    def search(
        self, queries: Tensor, k: int, allowed: Tensor | None = None, seen: Tensor | None = None
    ) -> Found:
        """Find the k items that score highest, of equal ones those of lower indices.

        :param queries: (B, D).
        :param allowed: (B, N + 1) bool; None for all.
        :param seen: (B, L) int64 items that a query must not find, 0 for none.
        """
        parts = []
        size = max(1, SCORES // len(self.bias))
        for start in range(0, max(1, len(queries)), size):
            piece = slice(start, start + size)
            scores = torch.addmm(self.bias, queries[piece].float(), self.table.T)
            if allowed is not None:
                scores.masked_fill_(~allowed[piece], -torch.inf)
            if seen is not None:
                scores.scatter_(1, seen[piece], -torch.inf)
            parts.append(top(scores, k))
        return Found(*map(torch.cat, zip(*parts, strict=True)))


class Approximate(Flat):
    """Searches a graph of neighbours: most of the best items, of many, in a fraction of the time.

    Hierarchical navigable small worlds (Malkov and Yashunin 2018, arXiv 1603.09320) by FAISS, on
    rows and biases in half precision. What the graph finds is scored exactly. Exact, and as slow as
    :class:`Flat`, is a search in which less than half of the items are allowed, and one for whose
    query the graph finds too few that may come.

    :param table: as for :class:`Flat`, and so is ``bias``.
    :param queries: (Q, D) a sample of what will be asked, at least one: they decide how much of the
        graph is looked through.
    :param wanted: the share of the exact ten best that is to be found.
    """

    def __init__(
        self, table: Tensor, bias: Tensor | None, queries: Tensor, wanted: float = 0.98
    ) -> None:
        faiss: Any = import_module("faiss")  # its own types lack some of what it has
        super().__init__(table, bias)
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
        k = min(10, len(table) - 1)
        exact = super().search(queries, k)
        for self.width in WIDTHS:
            near = self.search(queries, k).items
            self.recall = float((exact.items[:, :, None] == near[:, None]).any(2).float().mean())
            """The share of the exact ten best that was found for the sample of queries."""
            if self.recall >= wanted:
                break

    @torch.no_grad()
    def search(
        self, queries: Tensor, k: int, allowed: Tensor | None = None, seen: Tensor | None = None
    ) -> Found:
        """Find most of the k items that score highest; see :meth:`Flat.search`."""
        if not len(queries) or (allowed is not None and 2 * allowed.float().mean(-1).min() < 1):
            return super().search(queries, k, allowed, seen)
        queries = queries.float()
        barred = 0 if seen is None else int((seen > 0).sum(1).max())
        many = min((k + barred) * (1 if allowed is None else 2), WIDTHS[-1], len(self.bias) - 1)
        parameters = self._parameters(efSearch=max(self.width, many))
        padded = pad(pad(queries, (0, 1), value=1.0), (0, self._room)).numpy()
        near = 1 + torch.from_numpy(self._graph.search(padded, many, params=parameters)[1])
        # In the order of their indices, so that of equal ones the first stay in front.
        items = near.sort(dim=1).values
        scores = torch.einsum("bfd,bd->bf", self.table[items], queries) + self.bias[items]
        if allowed is not None:
            scores = scores.masked_fill(~allowed.gather(1, items), -torch.inf)
        if seen is not None:
            scores = scores.masked_fill((items[:, :, None] == seen[:, None]).any(2), -torch.inf)
        items, values = top(scores, k, items)
        for row in (values[:, -1] == -torch.inf).nonzero()[:, 0].tolist():
            one = slice(row, row + 1)
            some = (None if each is None else each[one] for each in (allowed, seen))
            items[one], values[one] = super().search(queries[one], k, *some)
        return Found(items, values)


def top(scores: Tensor, k: int, items: Tensor | None = None) -> Found:
    """The k items of each row with the largest scores, of equal ones the first: largest first.

    :param scores: (B, M).
    :param items: (B, M) int64 that have them; None for the numbers of the columns.
    """
    more = min(k + 1, scores.shape[1])
    values, columns = scores.topk(more)
    # The values are right; of equal ones any may have been taken.
    equal = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)
    for row in equal.any(1).nonzero()[:, 0].tolist():
        enough = (scores[row] >= values[row, -1]).nonzero()[:, 0]
        order = scores[row, enough].sort(descending=True, stable=True).indices[:more]
        columns[row] = enough[order]
    missing = (0, max(0, k - more))
    values = pad(values[:, :k], missing, value=-torch.inf)
    best = (columns if items is None else items.gather(1, columns))[:, :k]
    return Found(pad(best, missing) * (values > -torch.inf), values)
