"""Decoding without the law over the whole catalog: beams, and slates drawn by beams.

Both go down the trie digit by digit and keep the W best prefixes, whatever the catalog's size. They
never write what does not exist, nor go where nothing may be shown.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lightrec.keys import PADDING
from lightrec_generate.tree import TreeGenerator
from lightrec_generate.trie import at


class Written(NamedTuple):
    """Items as they were written, best or first drawn first."""

    items: Tensor
    """``(B, W)`` int64; 0 where fewer than W may be shown."""
    log_probabilities: Tensor
    """``(B, W)`` float32: the generator's, of each item by itself; minus infinity at 0."""
    exact: Tensor
    """``(B, W)`` bool, where slates are drawn: whether no prefix that was given up can have led to
    an item that belongs before this one. In beams it is True for what is certainly in its place."""


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
    others keep the law that they have among themselves.

    :param users: ``(B, D)`` from ``user_vectors``.
    :param width: W.
    :param shown: bool, ``(N + 1,)`` for all users or ``(B, N + 1)``: what may be shown now.
    :param draw: whether to draw from torch's global generator.
    """
    trie, nodes = generator.trie, torch.zeros_like(users[:, :1], dtype=torch.int64)
    codes = nodes.new_zeros(len(users), 1, 0)
    counted = None if shown is None else trie.counted(shown)
    total, order = users.new_zeros(len(users), 1), users.new_zeros(len(users), 1)
    given_up = users.new_full((len(users), 1), -torch.inf)
    for depth, level in enumerate(trie.levels):
        listed, there = trie.children(depth, nodes)
        asked = generator.asked(depth, users.unsqueeze(1), codes)
        logits = (asked @ generator.written[depth].T).gather(2, at(level.digits, listed))
        if depth == len(trie.levels) - 1:
            logits = logits + generator.leaf_logits(asked, listed)
        logits = logits + generator.popularity[depth] * at(generator.weights(depth), listed)
        found = logits.masked_fill(~there, -torch.inf).log_softmax(-1) + total.unsqueeze(-1)
        # Places of a beam that hold nothing lead nowhere.
        found = found.masked_fill(~(there & (total > -torch.inf).unsqueeze(-1)), -torch.inf)
        keys = gumbels_below(order, found) if draw else found
        if counted is not None:
            keys = keys.masked_fill(~trie.allowed(depth, listed, counted), -torch.inf)
        keys = keys.flatten(1)
        best = keys.topk(min(width + 1, keys.shape[1]), dim=1)
        kept = best.indices[:, :width]
        order = best.values[:, :width]
        if best.values.shape[1] > width:
            given_up = torch.maximum(given_up, best.values[:, width:])
        total = found.flatten(1).gather(1, kept).where(order > -torch.inf, -torch.inf)
        nodes = listed.flatten(1).gather(1, kept)
        above = (kept // listed.shape[-1]).unsqueeze(-1).expand(-1, -1, depth)
        codes = torch.cat([codes.gather(1, above), at(level.digits, nodes).unsqueeze(-1)], -1)
    items = trie.items[nodes].where(order > -torch.inf, PADDING)
    lack = width - items.shape[1]
    pad = torch.nn.functional.pad
    exact = pad(order >= given_up, (0, lack), value=True)
    return Written(pad(items, (0, lack)), pad(total, (0, lack), value=-torch.inf), exact)


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
