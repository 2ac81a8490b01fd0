"""Lists for a user: items that differ from each other, and places reserved for new ones."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from lightrec.errors import RecipeError

Choose: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""Fills lists otherwise than by the best scores: :meth:`lightrec.ranking.scorers.Standing.fill`."""
Placed: TypeAlias = Callable[..., Tensor]
"""Makes lists of usual scores and those of new items, and of how to ``choose``."""


def diversified(
    scores: Tensor, vectors: Tensor, length: int, variety: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Choose items one by one: good ones, unlike those chosen before.

    Maximal marginal relevance (Carbonell and Goldstein 1998), with scores divided by the highest
    and the cosine of item vectors as similarity.

    :param scores: (N + 1,) of 0 or more; -inf for what may not come.
    :param vectors: (N + 1, D).
    :param length: how many to choose, k.
    :param variety: 0 goes by scores alone, 1 by difference alone.
    :returns: (k,) int64 items in the order chosen, 0 where nothing is left; and (k,) their marginal
        relevance, which never rises, -inf where nothing is left: the score as a share of the
        highest, times 1 - ``variety``, less ``variety`` times the highest cosine with an item
        chosen before (0 where all are negative).
    """
    units = functional.normalize(vectors, dim=1)
    left = scores > -torch.inf
    relevance = scores.where(left, 0) / scores.max().clamp_min(1e-12)
    nearest = torch.zeros_like(scores)
    items = torch.zeros(length, dtype=torch.int64)
    values = torch.full((length,), -torch.inf)
    for place in range(min(length, int(left.sum()))):
        value = ((1 - variety) * relevance - variety * nearest).masked_fill(~left, -torch.inf)
        best = int(value.argmax())
        items[place], values[place] = best, value[best]
        left[best] = False
        nearest = torch.maximum(nearest, units @ units[best])
    return items, values


def places_for_new(length: int, new: int, explore: float, seed: int) -> Placed | None:
    """Choose how new items get their places: the last ones, or some by chance, or none.

    :raises RecipeError: where both are asked for, or more than there are.
    """
    if new and explore:
        raise RecipeError("New items get reserved places or explored ones, not both.")
    if not 0 <= new <= length:
        raise RecipeError(f"Of {length} places, {new} cannot be reserved for new items.")
    if not 0 <= explore <= 1:
        raise RecipeError(f"A place is explored with a probability, 0 to 1, not {explore}.")
    if explore:
        chance = torch.Generator().manual_seed(seed)
        return partial(with_explored_places, length=length, rate=explore, generator=chance)
    return partial(with_reserved_places, length=length, places=new) if new else None


def with_reserved_places(
    usual: Tensor, new: Tensor, length: int, places: int, choose: Choose | None = None
) -> Tensor:
    """Make lists whose last places belong to new items.

    :param usual: (B, N + 1) scores, -inf for what may not come; new items' are not looked at.
    :param new: (B, N + 1) scores of new items, -inf for all others.
    :param length: of the lists, k.
    :param places: how many are reserved; where there are fewer new items, the usual ones stay.
    :param choose: fills the places in another way than by the best scores.
    :returns: (B, k) int64 items, best first, then the new ones, best first; 0 for nothing left.
    """
    reserved = torch.zeros(len(usual), length, dtype=torch.bool)
    reserved[:, length - places :] = True
    # A row with fewer new items than places gives the first of those places back.
    have = (new > -torch.inf).sum(dim=1, keepdim=True)
    reserved &= torch.arange(length) >= length - have
    return _joined(usual, new, reserved, choose)


def with_explored_places(
    usual: Tensor,
    new: Tensor,
    length: int,
    rate: float,
    generator: torch.Generator | None = None,
    choose: Choose | None = None,
) -> Tensor:
    """Make lists each of whose places is a new item's by chance, so that all new items are tried.

    Which new items come is drawn, too, by the law of Plackett and Luce over their scores, in the
    order drawn; else as in :func:`with_reserved_places`.

    :param rate: the probability of each place.
    :param generator: of the draws.
    """
    explored = torch.rand(len(usual), length, generator=generator) < rate
    have = (new > -torch.inf).sum(dim=1, keepdim=True)
    explored &= explored.cumsum(dim=1) <= have
    uniform = torch.rand(new.shape, generator=generator).clamp_min(1e-30)
    return _joined(usual, new - (-uniform.log()).log(), explored, choose)


def _joined(usual: Tensor, new: Tensor, mine: Tensor, choose: Choose | None) -> Tensor:
    """Fill the places that are ``mine`` (B, k) with the best new items, the others with the rest.

    Usual items that run out leave their places, at the end, empty.
    """
    if choose is not None:
        return choose(usual, mine.shape[1], fresh=new, mine=mine)[0]
    first = _best(usual.masked_fill(new > -torch.inf, -torch.inf), mine.shape[1])
    fresh = _best(new, mine.shape[1])
    turn = torch.where(mine, mine.cumsum(dim=1), (~mine).cumsum(dim=1)) - 1
    items = torch.where(mine, fresh.gather(1, turn), first.gather(1, turn))
    order = (items == 0).to(torch.int8).sort(dim=1, stable=True).indices
    return items.gather(1, order)


def _best(scores: Tensor, length: int) -> Tensor:
    """Items (B, k), best first, 0 where nothing is left."""
    best = scores.topk(min(length, scores.shape[1]), dim=1)
    items = best.indices.masked_fill(best.values == -torch.inf, 0)
    return functional.pad(items, (0, length - items.shape[1]))
