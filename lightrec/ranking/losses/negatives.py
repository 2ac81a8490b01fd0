"""Negatives drawn row by row, and the scores of a row's own item and of its negatives."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.ranking.losses.base import Seen
from lightrec.ranking.ranker import Ranker

ELEMENTS = 1 << 26
"""How many places of rows times items are looked at once: 64 MiB."""


@dataclass(frozen=True)
class Scores:
    """Scores of rows' own items and of K items drawn for each row.

    :param positive: (R,).
    :param negative: (R, K).
    :param counts: (R, K) bool, False where the drawn item is the row's own or was seen by it.
    """

    positive: Tensor
    negative: Tensor
    counts: Tensor

    def mean_of_negatives(self, losses: Tensor) -> Tensor:
        """Mean of (R, K) losses over each row's negatives that count, (R,); 0 without any."""
        return (losses * self.counts).sum(dim=1) / self.counts.sum(dim=1).clamp_min(1)


def drawn_scores(
    ranker: Ranker, states: Tensor, target: Tensor, seen: Seen, negatives: int
) -> Scores:
    """Draw items for each row, all alike, and score them beside the row's own.

    Memory: R × K vectors of length D, twice.

    :param states: (R, D).
    :param target: (R,) int64.
    :param negatives: draws K for each row, with replacement.
    """
    shape = (len(target), negatives)
    drawn = torch.randint(1, ranker.num_items + 1, shape, device=target.device)
    # Text is projected once for an item, however often it was drawn.
    items, place = torch.cat([target[:, None], drawn], dim=1).unique(return_inverse=True)
    vectors, bias = ranker.items(items), ranker.item_bias()
    scores = (functional.embedding(place, vectors) @ states[:, :, None]).squeeze(-1)
    if bias is not None:
        scores = scores + bias[items][place]
    counts = ~_taken(ranker.num_items, target, seen, drawn)
    return Scores(scores[:, 0], scores[:, 1:], counts)


def _taken(num_items: int, target: Tensor, seen: Seen, drawn: Tensor) -> Tensor:
    """Whether drawn items are a row's own or were seen by it: (R, K) bool."""
    found = torch.empty_like(drawn, dtype=torch.bool)
    step = max(1, ELEMENTS // (num_items + 1))
    for start in range(0, len(target), step):
        rows = slice(start, start + step)
        own = target[rows, None]
        table = torch.zeros(len(own), num_items + 1, dtype=torch.bool, device=own.device)
        table.scatter_(1, torch.cat([own, seen(rows)], dim=1), True)
        found[rows] = table.gather(1, drawn[rows])
    return found
