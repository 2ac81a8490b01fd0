"""Decoding without the law over the whole catalog: beams, and slates drawn by beams.

Both go down the trie digit by digit and keep the W best prefixes, whatever the catalog's size. They
never write what does not exist, nor go where nothing may be shown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING
from lightrec_generate.newcomers import Newcomers
from lightrec_generate.tree import TreeGenerator
from lightrec_generate.trie import at


class Written(NamedTuple):
    """Items as they were written, best or first drawn first."""

    items: Tensor
    """``(B, W)`` int64; 0 where fewer than W may be shown."""
    log_probabilities: Tensor
    """``(B, W)`` float32: the generator's, of each item by itself; minus infinity at 0. Of a new
    item it is that of its coming in place of what the beam holds."""
    exact: Tensor
    """``(B, W)`` bool, where slates are drawn: whether no prefix that was given up can have led to
    an item that belongs before this one. In beams it is True for what is certainly in its place,
    and nothing is where there are new items."""


class Held(NamedTuple):
    """The content of a beam, C items for each user; an item that is not there has a key of -inf."""

    items: Tensor
    """``(B, C)`` int64."""
    total: Tensor
    """``(B, C)`` float32 log-probabilities."""
    keys: Tensor
    """``(B, C)`` float32: the order goes by them."""


@torch.no_grad()
def beam(
    generator: TreeGenerator,
    users: Tensor,
    width: int,
    shown: Tensor | None = None,
    draw: bool = False,
) -> Written:
    """Write the W most likely items for each user, or a slate of W by the law of Plackett and Luce.

    A slate is drawn by adding Gumbel noise top down (Kool, van Hoof and Welling 2019, "Stochastic
    beams and where to find them"), which draws items without replacement, each next one with
    probability in proportion to its own. What may not be shown is left out of the order; so the
    others keep the law that they have among themselves. New items come in place of what the beam
    holds in the end, and of a history's last items.

    :param users: as of :meth:`~lightrec_generate.generator.Generator.log_probabilities`.
    :param width: W.
    :param shown: bool, ``(N + 1,)`` for all users or ``(B, N + 1)``: what may be shown now.
    :param draw: whether to draw from torch's global generator.
    """
    states, last = users[:, : generator.size], users[:, generator.size :].long()
    new, zero = generator.newcomers, users.new_zeros(len(users), 1)
    if new is None:
        masks = [None] if shown is None else [shown]
        held, given_up = written(generator, states, width, masks, draw, zero, zero)
    else:
        parts = new.parts(last)
        keys = gumbels_below(zero, parts.unsqueeze(1)).squeeze(1) if draw else parts
        # What may be shown, and what one that may comes in place of, have places of their own.
        masks = [None] if shown is None else [shown, new.leads_to(shown)]
        held, given_up = written(generator, states, width, masks, draw, parts[:, :1], keys[:, :1])
        recent = Held(last, parts[:, 1:], keys[:, 1:])
        held = with_new(held, recent, new, shown, draw)
    best = held.keys.topk(min(width, held.keys.shape[1]), dim=1)
    there, lack = best.values > -torch.inf, width - best.values.shape[1]
    items = held.items.gather(1, best.indices).where(there, PADDING)
    total = held.total.gather(1, best.indices).where(there, -torch.inf)
    exact = pad(best.values >= given_up, (0, lack), value=True)
    if new is not None and not draw:
        exact = torch.zeros_like(exact)
    return Written(pad(items, (0, lack)), pad(total, (0, lack), value=-torch.inf), exact)


def written(
    generator: TreeGenerator,
    states: Tensor,
    width: int,
    masks: Sequence[Tensor | None],
    draw: bool,
    total: Tensor,
    keys: Tensor,
) -> tuple[Held, Tensor]:
    """Go down the trie.

    :param states: ``(B, D)``.
    :param masks: as ``shown`` of :func:`beam`: W places for what each of them allows, as far as
        those before it have left it.
    :param total: ``(B, 1)``: the logarithm of what there is to share out.
    :param keys: ``(B, 1)``: its key.
    :returns: at most W items for each mask, and the highest key that was given up, ``(B, 1)``.
    """
    trie, nodes = generator.trie, torch.zeros_like(states[:, :1], dtype=torch.int64)
    codes, order = nodes.new_zeros(len(states), 1, 0), keys
    counted = [None if mask is None else trie.counted(mask) for mask in masks]
    given_up = states.new_full((len(states), 1), -torch.inf)
    for depth, level in enumerate(trie.levels):
        listed, there = trie.children(depth, nodes)
        queries = generator.queries(depth, states.unsqueeze(1), codes)
        logits = (queries @ generator.written[depth].T).gather(2, at(level.digits, listed))
        if depth == len(trie.levels) - 1:
            logits = logits + generator.leaf_logits(queries, listed)
        logits = logits + generator.popularity[depth] * at(generator.weights(depth), listed)
        reached = logits.masked_fill(~there, -torch.inf).log_softmax(-1) + total.unsqueeze(-1)
        # Places of a beam that hold nothing lead nowhere.
        reached = reached.masked_fill(~(there & (total > -torch.inf).unsqueeze(-1)), -torch.inf)
        keys = gumbels_below(order, reached) if draw else reached
        taken = []
        for each in counted:
            left = keys
            if each is not None:
                left = keys.masked_fill(~trie.allowed(depth, listed, each), -torch.inf)
            best = left.flatten(1).topk(min(width + 1, left[0].numel()), dim=1)
            taken.append((best.indices[:, :width], best.values[:, :width]))
            if best.values.shape[1] > width:
                given_up = torch.maximum(given_up, best.values[:, width:])
            if len(counted) > 1:
                places, values = taken[-1]
                rest = (
                    keys.flatten(1).gather(1, places).masked_fill(values > -torch.inf, -torch.inf)
                )
                keys = keys.flatten(1).scatter(1, places, rest).view_as(keys)
        kept, order = (torch.cat(each, 1) for each in zip(*taken, strict=True))
        total = reached.flatten(1).gather(1, kept).where(order > -torch.inf, -torch.inf)
        nodes = listed.flatten(1).gather(1, kept)
        above = (kept // listed.shape[-1]).unsqueeze(-1).expand(-1, -1, depth)
        codes = torch.cat([codes.gather(1, above), at(level.digits, nodes).unsqueeze(-1)], -1)
    return Held(trie.items[nodes], total, order), given_up


def with_new(held: Held, recent: Held, new: Newcomers, shown: Tensor | None, draw: bool) -> Held:
    """Let new items come in place of what would be written, and of the last items.

    :param held: what would be written.
    :param recent: the last items.
    :param shown: what may be shown, as of :func:`beam`.
    """
    last_ones, there = new.recent(recent.items).sum(1, keepdim=True), new.chances.any(1)
    replaced = new.share * (1 - last_ones) / (1 - new.share * last_ones) * there[held.items]
    replaced = torch.cat([replaced, torch.ones_like(recent.total)], 1).unsqueeze(-1)
    sources, total, above = (torch.cat(both, 1) for both in zip(held, recent, strict=True))
    items = torch.cat([sources.unsqueeze(-1), new.items[new.table[sources]]], -1)
    parts = torch.cat([1 - replaced, replaced * new.chances[sources]], -1)
    reached = (parts.log() + total.unsqueeze(-1)).masked_fill(
        above.unsqueeze(-1) == -torch.inf, -torch.inf
    )
    keys = gumbels_below(above, reached) if draw else reached
    items, reached, keys = (each.flatten(1) for each in (items, reached, keys))
    if shown is not None:
        may = shown[items] if shown.ndim == 1 else shown.gather(1, items)
        keys = keys.masked_fill(~may, -torch.inf)
    # A new item may come in several places: its probabilities add up, and the first draw counts.
    order = items.argsort(dim=1, stable=True)
    items, reached, keys = (each.gather(1, order) for each in (items, reached, keys))
    place = pad(items.diff() != 0, (1, 0)).cumsum(1)
    largest = reached.amax(1, keepdim=True)
    summed = torch.zeros_like(reached).scatter_add(1, place, (reached - largest).exp())
    summed = summed.log() + largest
    first = torch.full_like(keys, -torch.inf).scatter_reduce(1, place, keys, "amax")
    first = first if draw else summed.where(first > -torch.inf, -torch.inf)
    return Held(torch.zeros_like(items).scatter(1, place, items), summed, first)


def gumbels_below(above: Tensor, logarithms: Tensor) -> Tensor:
    """Draw Gumbel variables whose largest, in each group, is given (Kool et al. 2019, appendix B).

    :param above: ``(B, W)`` the largest of each group.
    :param logarithms: ``(B, W, C)`` locations; minus infinity for none.
    :returns: ``(B, W, C)``.
    """
    noise = -torch.empty_like(logarithms).exponential_().clamp_min_(1e-30).log()
    drawn = logarithms + noise
    largest = drawn.amax(-1, keepdim=True)
    top, finite = above.unsqueeze(-1), drawn > -torch.inf
    drawn = drawn.where(finite, largest - 1)
    gap = top - drawn + torch.log1p(-(drawn - largest).exp())
    below = top - gap.clamp_min(0) - torch.log1p((-gap.abs()).exp())
    return below.where(finite & (top > -torch.inf), -torch.inf)
