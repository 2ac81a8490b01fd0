"""The slate of largest expected value under a conditional logit with an option of nothing.

A user shown a slate A takes item i with probability v_i / (v_0 + Σ v_j) over A, v = exp of a score
and v_0 = 1 for nothing. The value of A is the mean of Q(s, i), and of the value of nothing, under
this law (Ie et al. 2019, eq. 13): a fraction of two sums, which Dinkelbach's method (1967, "On
nonlinear fractional programming") makes largest exactly.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lightrec.nn.plackett_luce import EMPTY, at, may_be_shown


class BestSlate(NamedTuple):
    """A slate of each state, with what it is worth."""

    columns: Tensor
    """(B, K) int64 columns in the order shown; -1 where fewer than K may be shown."""
    scores: Tensor
    """(B, C), in units of value: the K columns of largest score are the slate; minus infinity for
    columns that may not be shown."""
    value: Tensor
    """(B,): the expected value of the slate."""


@torch.no_grad()
def best_slate(
    action_value: Tensor, choice_logits: Tensor, null_value: Tensor, slate_size: int
) -> BestSlate:
    """Choose the K columns whose slate is worth most.

    With λ the value of the best slate, Σ v_j (Q_j - λ) + v_0 (Q_0 - λ) is at most 0 for every
    slate, and 0 for the best, which therefore holds the K largest v_j (Q_j - λ). λ rises from slate
    to slate, in a few rounds, to this fixed point. All K places are filled where K columns may be
    shown, even if an empty place were worth more.

    Scores are v_j (Q_j - λ) / V, V being the sum of v over the best slate and nothing. Those of
    slates of one are each slate's own value, which is at hand, so that nothing is searched.

    :param action_value: ``(B, C)`` Q(s, i) of an item that is taken; minus infinity where it may
        not be shown.
    :param choice_logits: ``(B, C)``, nothing having 0; minus infinity where it may not be shown.
    :param null_value: ``(B, 1)`` Q of nothing taken.
    :param slate_size: places K, 1 to C.
    :raises ValueError: where ``slate_size`` is out of range.
    """
    columns = action_value.shape[-1]
    if not 1 <= slate_size <= columns:
        raise ValueError(
            f"A slate of {slate_size} cannot be chosen from {columns} columns; "
            f"slate_size must lie between 1 and {columns}."
        )
    shown = may_be_shown(action_value) & may_be_shown(choice_logits)
    if slate_size == 1:
        values = torch.lerp(
            null_value.expand_as(action_value), action_value, choice_logits.sigmoid()
        )
        scores = torch.where(shown, values, -torch.inf)
        best, column = scores.topk(1, dim=-1)
        some = best > -torch.inf
        value = torch.where(some, best, null_value).squeeze(-1)
        return BestSlate(column.masked_fill(~some, EMPTY), scores, value)
    # What may not be shown must not set the scale: all else might vanish beside it.
    logits = choice_logits.masked_fill(~shown, -torch.inf)
    highest = logits.amax(-1, keepdim=True).clamp_min(0)
    weights, null = (logits - highest).exp(), (-highest).exp()
    # Whatever does not depend on the level is made once: a round reads the columns three times.
    weighted = torch.where(shown, weights * action_value, -torch.inf)

    def choose(level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Slate, scores · V, the slate's value and V."""
        scores = torch.addcmul(weighted, weights, level, value=-1)
        top = scores.topk(slate_size, dim=-1)
        filled = top.values > -torch.inf
        share = torch.where(filled, at(weights, top.indices), 0.0)
        worth = torch.where(filled, at(action_value, top.indices), 0.0)
        total = share.sum(-1, keepdim=True) + null
        value = ((share * worth).sum(-1, keepdim=True) + null * null_value) / total
        return top.indices.masked_fill(~filled, EMPTY), scores, value, total

    # The first level may be any number. From then on levels are values of slates, which can only
    # rise, and there are finitely many.
    _, _, level, _ = choose(null_value)
    while True:
        slate, scores, value, total = choose(level)
        if not (value > level).any():
            return BestSlate(slate, scores / total, level.squeeze(-1))
        level = torch.maximum(level, value)
