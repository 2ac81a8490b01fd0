"""The index: the items whose rows have the largest products with queries.

Nothing here knows what rows and queries mean, and nothing but torch is imported.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING

SCORES = 2**24
"""Number of scores computed at once."""


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
