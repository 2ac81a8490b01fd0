"""Fast exact draws of ordered slates: from long rows of logits, and from two towers.

Independent draws from a softmax, of which the first K distinct ones are kept, have the
Plackett–Luce law: whatever came before, the next new column is one of those left with probability
∝ exp(logit). For the same reason one may stop after any number of draws, take out what was found,
and go on with the rest. A row then needs a few random numbers, not one for each column.

The distribution, with gradients, is :class:`lightrec.nn.plackett_luce.PlackettLuce`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lightrec.nn.urns import Urns, ordered_steps

CHUNK = 2**21
"""Logits that are worked on at a time: few enough for a processor's cache."""


class Slates(NamedTuple):
    """Slates as they were drawn."""

    columns: Tensor
    """(R, K) int64 distinct columns; :data:`~lightrec.nn.urns.EMPTY` where none was left."""
    log_probabilities: Tensor
    """(R,) logarithm of the probability of drawing exactly this slate in this order."""


@torch.no_grad()
def draw_slates(logits: Tensor, slate_size: int) -> Slates:
    """Draw a slate for each row from torch's global generator, without gradients.

    Log-probabilities come from the sums by which columns were found; no second look at all columns
    is needed for them.

    :param logits: (R, N) floating point; high means drawn early. Minus infinity excludes a column,
        and so does an eighth of the type's lowest number.
    :param slate_size: places K, at least 1; more than N leaves the last ones empty.
    :returns: slates of R rows. Where a logit is NaN or plus infinity, the slate is empty and its
        log-probability NaN.
    """
    parts = chunks(*logits.shape)
    urns = Urns(parts[0].stop, logits.shape[1], slate_size, logits)
    return _joined([urns.draw(logits[rows]) for rows in parts], logits)


@torch.no_grad()
def two_tower_slates(
    user_vectors: Tensor,
    item_vectors: Tensor,
    slate_size: int,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
) -> Slates:
    """Draw slates of a policy whose logits are user vector · item vector + bias.

    Users are worked on a few at a time: the scores of all of them are never in memory.

    :param user_vectors: (B, D) float32 or float64.
    :param item_vectors: (N, D) of the same type.
    :param slate_size: places K, at least 1.
    :param bias: (N,) of the same type.
    :param mask: bool, False excludes an item: (N,) for all users, or (B, N).
    :returns: slates of B users, see :func:`draw_slates`; columns are rows of ``item_vectors``.
    """
    items = item_vectors.T
    if mask is not None and mask.ndim == 1:
        # What nobody may see costs nothing as a part of the bias.
        bias = (items.new_zeros(len(mask)) if bias is None else bias).masked_fill(~mask, -torch.inf)
        mask = None
    parts = chunks(len(user_vectors), len(item_vectors))
    urns = Urns(parts[0].stop, len(item_vectors), slate_size, item_vectors)
    memory = items.new_empty(parts[0].stop, len(item_vectors))
    drawn = []
    for rows in parts:
        users, scores = user_vectors[rows], memory[: rows.stop - rows.start]
        if bias is None:
            torch.mm(users, items, out=scores)
        else:
            torch.addmm(bias, users, items, out=scores)
        if mask is not None:
            scores.masked_fill_(~mask[rows], -torch.inf)
        drawn.append(urns.draw(scores))
    return _joined(drawn, item_vectors)


def chunks(rows: int, columns: int) -> list[slice]:
    """Cut rows into even parts, at least one, of :data:`CHUNK` numbers at most or of one row."""
    most = max(1, CHUNK // max(columns, 1))
    size = max(1, -(-rows // max(1, -(-rows // most))))
    return [slice(start, min(start + size, rows)) for start in range(0, max(rows, 1), size)]


def _joined(drawn: list[tuple[Tensor, Tensor, Tensor]], like: Tensor) -> Slates:
    columns, chosen, never = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    steps = ordered_steps(chosen, never, columns >= 0).sum(1)
    unknown = never.squeeze(1).isnan()
    return Slates(columns, steps.masked_fill_(unknown, torch.nan).to(like.dtype))
