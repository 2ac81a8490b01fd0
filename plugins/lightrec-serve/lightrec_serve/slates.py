"""How a slate is chosen from scores, and which events of a history made its items come."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import polars as pl
import torch
from lightrec_rules.rules import Standing
from torch import Tensor

from lightrec.api import PADDING
from lightrec.nn.slates import ordered_steps
from lightrec.ranking.lists import with_reserved_places
from lightrec_serve.engine import Query, Ranked, Reason

LEFT_OUT: Final = 30
"""Number of a history's last events that are left out in turn, to see what each did."""
REASONS: Final = 3
"""Events at most that are named for an item."""


def chosen(
    logits: Tensor,
    recent: Tensor,
    query: Query,
    temperature: float,
    by: str,
    rules: Standing | None = None,
    people: pl.DataFrame | None = None,
) -> Ranked:
    """Choose or draw a slate, whose last places are kept for new items where the query says so.

    :param logits: (N + L + 1,) float32, minus infinity for what may not come.
    :param recent: (N + L + 1,) bool, which items are new.
    :param rules: which the slate keeps to; their boosts are in the logits.
    :param people: the row of the user table that pins ask.
    """
    heat = temperature if query.draw else 1.0
    generator = torch.Generator().manual_seed(query.seed) if query.draw else None
    count = min(query.k, int((logits > -torch.inf).sum()))
    if query.new:
        fresh, usual = (logits.masked_fill(others, -torch.inf) for others in (~recent, recent))
        choose = None if rules is None else partial(rules.fill, people=people)
        items = with_reserved_places(usual[None], fresh[None], query.k, query.new, choose)[0]
        items = items[items > PADDING]
        chances = torch.ones(len(items))
    elif rules is not None:
        items, chances = rules.fill(logits[None] / heat, query.k, people, generator=generator)
        items, chances = items[items > PADDING], chances[items > PADDING]
    elif query.draw:
        law = (logits.double() / heat).log_softmax(0)
        uniform = torch.rand(law.shape, generator=generator, dtype=torch.float64)
        items = (law - (-uniform.clamp_min(1e-300).log()).log()).topk(count).indices
        rest = law.index_fill(0, items, -torch.inf).logsumexp(0, keepdim=True)
        chances = ordered_steps(law[items], rest, items > PADDING).clamp_max(0.0).exp()
    else:
        items, chances = logits.topk(count).indices, torch.ones(count)
    log_prob = float(chances.log().sum())
    ranked = Ranked(items.tolist(), logits[items].tolist(), by, chances.tolist(), log_prob)
    return ranked if rules is None else marked(ranked, rules, logits, query.k, people)


def marked(
    ranked: Ranked, rules: Standing, logits: Tensor, k: int, people: pl.DataFrame | None
) -> Ranked:
    """Note by which rules a slate was made, and what they have pinned."""
    pinned = rules.pinned(logits[None] > -torch.inf, k, people)[0].tolist()
    may = rules.meant(torch.ones_like(logits, dtype=torch.bool)[None], people)[0]
    return replace(ranked, rules=rules.mark, pinned=frozenset(pinned) - {PADDING}, may=may)


def reasons(events: Sequence[int], likely: Tensor) -> list[list[Reason]]:
    """Name the events that made items come: those without which they would be less likely.

    :param events: E items of a history.
    :param likely: (E + 1, K) logarithms of K items' probabilities, then the same without each
        event; see :func:`lightrec.data.sequences.without_each`.
    :returns: for each of the K items the events that count most, at most :data:`REASONS`; none that
        makes it less likely.
    """
    losses, places = (likely[0] - likely[1:]).T.topk(min(REASONS, len(events)))
    named = []
    for row, loss in zip(places.tolist(), losses.tolist(), strict=True):
        pairs = [(events[at], math.exp(-by)) for at, by in zip(row, loss, strict=True) if by > 0]
        named.append([*dict(pairs[::-1]).items()][::-1])  # an event that came twice counts by most
    return named
