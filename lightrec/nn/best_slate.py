"""The slate of largest expected value under a conditional logit with an option of nothing.

A user shown a slate A takes item i with probability v_i / (v_0 + Σ v_j) over A, v = exp of a score
and v_0 = 1 for nothing. The value of A is the mean of Q(s, i), and of the value of nothing, under
this law: a fraction of two sums, which is made largest exactly by Dinkelbach's method.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightrec.nn.plackett_luce import EMPTY, at, may_be_shown

SlateMethod = Literal["exact", "top_k"]
"""How a slate is chosen; see :func:`best_slate`."""


class BestSlate(NamedTuple):
    """A slate of each state, with what it is worth."""

    columns: Tensor
    """(B, K) int64 columns in the order shown; -1 where fewer than K may be shown."""
    scores: Tensor
    """(B, C), in units of value: the K columns of largest score are the slate; minus infinity for
    columns that may not be shown."""
    value: Tensor
    """(B,): the expected value of the slate."""


def slate_value(
    action_value: Tensor,
    choice_logits: Tensor,
    null_value: Tensor,
    columns: Tensor,
    offsets: Tensor | None = None,
) -> Tensor:
    """Give the expected value of slates: P(0) Q(s, 0) + Σ P(i) Q(s, i) (Ie et al. 2019, eq. 13).

    :param action_value: ``(B, C)`` Q(s, i) of an item that is taken.
    :param choice_logits: ``(B, C)``, nothing having 0.
    :param null_value: ``(B, 1)`` Q of nothing taken.
    :param columns: ``(B, K)`` int64; -1 for an empty place.
    :param offsets: ``(K,)``, added to the choice logits by place.
    :returns: ``(B,)``.
    """
    weights, null = _weights(choice_logits, offsets)
    return _ratio(action_value, weights, null_value, null, columns, offsets)


@torch.no_grad()
def best_slate(
    action_value: Tensor,
    choice_logits: Tensor,
    null_value: Tensor,
    slate_size: int,
    offsets: Tensor | None = None,
    method: SlateMethod = "exact",
) -> BestSlate:
    """Choose the K columns whose slate is worth most.

    With λ the value of the best slate, Σ v_j (Q_j - λ) + v_0 (Q_0 - λ) is at most 0 for every
    slate, and 0 for the best, which therefore holds the K largest v_j (Q_j - λ). λ is found by
    Dinkelbach's method (1967, "On nonlinear fractional programming"): it rises from slate to slate,
    in a few rounds, to the fixed point. Places of larger offset go to larger scores. All K places
    are filled where K columns may be shown, even if an empty place were worth more. Of slates of
    one the values are at hand, and nothing needs to be searched.

    :param action_value: ``(B, C)`` Q(s, i) of an item that is taken; minus infinity where it may
        not be shown.
    :param choice_logits: ``(B, C)``, nothing having 0; minus infinity where it may not be shown.
    :param null_value: ``(B, 1)`` Q of nothing taken.
    :param slate_size: places K, 1 to C.
    :param offsets: ``(K,)``, added to the choice logits by place.
    :param method: ``exact``, with scores v_j (Q_j - λ) / V, V being the sum of v over the best
        slate and nothing, or, of slates of one, each slate's own value; or ``top_k``, the cheaper
        way of the paper, with scores v_j Q_j / V, which forgets that items take choices from each
        other and from nothing, and depends on where the zero of Q lies.
    :raises ValueError: where ``slate_size`` is out of range.
    """
    columns = action_value.shape[-1]
    if not 1 <= slate_size <= columns:
        raise ValueError(
            f"A slate of {slate_size} cannot be chosen from {columns} columns; "
            f"slate_size must lie between 1 and {columns}."
        )
    shown = may_be_shown(action_value) & may_be_shown(choice_logits)
    if slate_size == 1 and method == "exact":
        logits = choice_logits if offsets is None else choice_logits + offsets
        return _best_single(action_value, logits.sigmoid(), null_value, shown)
    # What may not be shown must not set the scale: all else might vanish beside it.
    weights, null = _weights(choice_logits.masked_fill(~shown, -torch.inf), offsets)
    order = None if offsets is None else offsets.argsort(descending=True, stable=True)
    # Whatever does not depend on the level is made once: a round reads the columns three times.
    weighted = torch.where(shown, weights * action_value, -torch.inf)
    weights = weights * shown

    def choose(level: Tensor) -> BestSlate:
        scores = torch.addcmul(weighted, weights, level, value=-1)
        top = scores.topk(slate_size, dim=-1)
        slate = top.indices.masked_fill(top.values == -torch.inf, EMPTY)
        if order is not None:
            slate = torch.empty_like(slate).index_copy_(-1, order, slate)
        value = _ratio(action_value, weights, null_value, null, slate, offsets)
        return BestSlate(slate, scores, value)

    def in_units_of_value(found: BestSlate) -> BestSlate:
        total = null + _shares(weights, found.columns, offsets).sum(-1, keepdim=True)
        return found._replace(scores=found.scores / total)

    if method == "top_k":
        return in_units_of_value(choose(torch.zeros_like(null_value)))
    # The first level may be any number. From then on levels are values of slates, which can only
    # rise, and there are finitely many.
    level = choose(null_value).value
    while True:
        found = choose(level.unsqueeze(-1))
        if not (found.value > level).any():
            return in_units_of_value(found._replace(value=level))
        level = torch.maximum(level, found.value)


def _weights(choice_logits: Tensor, offsets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Give v (B, C) and v_0 (B, 1), divided by the largest of a state so that none overflows."""
    top = choice_logits.amax(-1, keepdim=True).clamp_min(0)
    return (choice_logits - top).exp(), (-top).exp()


def _best_single(
    action_value: Tensor, probability: Tensor, null_value: Tensor, shown: Tensor
) -> BestSlate:
    values = torch.lerp(null_value.expand_as(action_value), action_value, probability)
    scores = torch.where(shown, values, -torch.inf)
    best, column = scores.topk(1, dim=-1)
    some = best > -torch.inf
    value = torch.where(some, best, null_value).squeeze(-1)
    return BestSlate(column.masked_fill(~some, EMPTY), scores, value)


def _shares(weights: Tensor, columns: Tensor, offsets: Tensor | None) -> Tensor:
    """Give v of the columns of a slate (B, K), 0 for an empty place."""
    share = at(weights, columns)
    if offsets is not None:
        share = share * offsets.exp()
    return torch.where(columns >= 0, share, 0.0)


def _ratio(
    action_value: Tensor,
    weights: Tensor,
    null_value: Tensor,
    null: Tensor,
    columns: Tensor,
    offsets: Tensor | None,
) -> Tensor:
    share = _shares(weights, columns, offsets)
    value = torch.where(columns >= 0, at(action_value, columns), 0.0)
    total = share.sum(-1) + null.squeeze(-1)
    return ((share * value).sum(-1) + (null * null_value).squeeze(-1)) / total
