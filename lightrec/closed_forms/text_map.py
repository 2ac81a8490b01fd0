"""What is known of warm items, carried over to cold ones by their texts.

A cold item has no training event: nothing was learned about it, and whatever a model scores it is
an accident. Here its score is the one that its text predicts, by a ridge regression over warm items
that is solved once and serves any history.
"""

from typing import Final

import torch
from torch import Tensor, nn

from lightrec.closed_forms.neighbours import unit_vectors

PENALTIES: Final = (1.0, 3.0, 10.0, 30.0)
"""The ridge penalties to choose from."""


class TextMap(nn.Module):
    """Regresses any scores of warm items on their texts, and predicts those of cold items.

    With X the centred unit vectors of warm items' texts and z their centred scores for a history, a
    cold item with the vector x has the score ``x (X'X + l2 I)^-1 X' z``. It is linear in z, so that
    one small matrix serves all histories.

    :param vectors: (N + 1, V) float32 text vectors, row 0 zero.
    :param counts: (N + 1,) training events of each item; without any, an item is cold.
    :param l2: of the regression.
    """

    units: Tensor
    """(N + 1, V): centred text vectors of length 1; zeros without a text."""
    warm: Tensor
    """(N + 1,) bool: items with events and a text."""
    cold: Tensor
    """(N + 1,) bool: items without events, with a text."""
    inverse: Tensor
    """(V, V)."""

    def __init__(self, vectors: Tensor, counts: Tensor, l2: float) -> None:
        super().__init__()
        self.l2 = l2
        worded = vectors.any(dim=1)
        units = unit_vectors(vectors)
        warm, cold = worded & (counts > 0), worded & (counts == 0)
        warm[0] = cold[0] = False
        known = units[warm].double()
        square = known.T @ known + l2 * torch.eye(units.shape[1], dtype=torch.float64)
        self.register_buffer("units", units, persistent=False)
        self.register_buffer("warm", warm, persistent=False)
        self.register_buffer("cold", cold, persistent=False)
        self.register_buffer("inverse", torch.linalg.inv(square).float(), persistent=False)

    def _centred(self, scores: Tensor) -> Tensor:
        """Scores less the mean of the warm items' for each row, 0 for all others."""
        kept = torch.where(self.warm, scores, 0)
        mean = kept.sum(dim=1, keepdim=True) / self.warm.sum().clamp_min(1)
        return torch.where(self.warm, kept - mean, 0)

    def scores(self, scores: Tensor) -> Tensor:
        """Predict cold items' scores.

        :param scores: (B, N + 1) of any recommender; those of cold items are not looked at.
        :returns: (B, N + 1): cold items' scores; -inf for warm ones and for those without a text.
        """
        found = self._centred(scores) @ self.units @ self.inverse @ self.units.T
        return found.masked_fill(~self.cold, -torch.inf)

    def as_if_cold(self, scores: Tensor) -> Tensor:
        """Predict each warm item's score as if its own had not been known (leave-one-out).

        :returns: (B, N + 1): warm items' scores; -inf for all others.
        """
        own = self._centred(scores)
        leverage = ((self.units @ self.inverse) * self.units).sum(dim=1)
        fitted = own @ self.units @ self.inverse @ self.units.T
        found = (fitted - own * leverage) / (1 - leverage).clamp_min(1e-6)
        return found.masked_fill(~self.warm, -torch.inf)


def with_reserved_places(usual: Tensor, new: Tensor, length: int, places: int) -> Tensor:
    """Make lists whose last places belong to new items, however their scores compare.

    :param usual: (B, N + 1) scores, -inf for what may not come; new items' are not looked at.
    :param new: (B, N + 1) scores of new items, -inf for all others.
    :param length: of the lists, k.
    :param places: how many are reserved; where there are fewer new items, the usual ones stay.
    :returns: (B, k) int64 items, best first, then the new ones, best first; 0 for nothing left.
    """
    is_new = new > -torch.inf
    best = usual.masked_fill(is_new, -torch.inf).topk(min(length, usual.shape[1]), dim=1)
    first = best.indices.masked_fill(best.values == -torch.inf, 0)
    if places == 0:
        return first
    fresh = new.topk(min(places, new.shape[1]), dim=1)
    last = fresh.indices.masked_fill(fresh.values == -torch.inf, 0)
    # A row with fewer new items than places gives those places back.
    free = (last == 0).sum(dim=1, keepdim=True)
    steps = torch.arange(first.shape[1], device=first.device)
    kept = first.masked_fill(steps >= length - places + free, 0)
    joined = torch.cat([kept, last], dim=1)
    order = (joined == 0).to(torch.int8).sort(dim=1, stable=True).indices
    return joined.gather(1, order)[:, :length]
