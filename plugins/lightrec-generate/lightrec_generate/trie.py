"""The trie of all identifiers: which digits may follow which, and the law over its leaves."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Level(NamedTuple):
    """The nodes of one depth, P of them, in the order of their digits: children of a node follow
    one another.
    """

    parents: Tensor
    """``(P,)`` int64 nodes of the level above; 0 for the root."""
    digits: Tensor
    """``(P,)`` int64."""
    leaves: Tensor
    """``(P + 1,)`` int64: where its leaves begin among the items in the order of their digits."""


class Arrangement:
    """Nodes of a level in blocks of equally many siblings, over which a softmax is one operation.

    Groups of siblings are filled up to the next power of two. An only child stands in no block: its
    probability is 1.

    :param parents: ``(P,)`` int64 ascending.
    """

    def __init__(self, parents: Tensor) -> None:
        _, group, count = parents.unique_consecutive(return_inverse=True, return_counts=True)
        width = 2 ** (count - 1).clamp_min(0).to(torch.float64).add(1).log2().ceil().long()
        within = torch.arange(len(parents)) - (count.cumsum(0) - count)[group]
        self.blocks: list[tuple[int, int, int]] = []
        """First slot, number of groups and their width, block by block."""
        first = torch.zeros(len(count), dtype=torch.int64)
        end = 0
        for size in width[count > 1].unique().tolist():
            groups = ((width == size) & (count > 1)).nonzero().squeeze(1)
            first[groups] = end + size * torch.arange(len(groups))
            self.blocks.append((end, len(groups), size))
            end += size * len(groups)
        several = count[group] > 1
        self.place = torch.where(several, first[group] + within, end)
        """``(P,)`` int64: each node's slot; the number of slots for an only child."""
        self.slots = torch.full((end,), -1)
        """``(S,)`` int64: the node in each slot, -1 where there is none."""
        self.slots[self.place[several]] = several.nonzero().squeeze(1)

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Normalise among siblings.

        :param logits: ``(S, B)``; of slots without a node minus infinity.
        :returns: ``(P, B)`` by node.
        """
        laws = [
            logits[start : start + groups * size]
            .view(groups, size, -1)
            .log_softmax(1)
            .flatten(0, 1)
            for start, groups, size in self.blocks
        ]
        laws.append(logits.new_zeros(1, logits.shape[1]))
        return torch.cat(laws)[self.place]


class Trie:
    """Every prefix of the identifiers of R items.

    :param codes: ``(N + 1, M)`` int64 digits of all items.
    :param items: ``(R,)`` int64: which items are in the trie.
    :raises ValueError: where two items have the same digits.
    """

    def __init__(self, codes: Tensor, items: Tensor) -> None:
        codes, items = codes.cpu(), items.cpu()
        order = torch.from_numpy(np.lexsort(codes[items].flip(1).T.numpy()))
        self.items = items[order]
        """``(R,)`` int64 items in the order of their digits."""
        ordered = codes[self.items]
        new = torch.ones(len(items), dtype=torch.bool)
        new[1:] = False
        above, end = torch.zeros(len(items), dtype=torch.int64), torch.tensor([len(items)])
        self.levels: list[Level] = []
        for m in range(codes.shape[1]):
            new[1:] |= ordered[1:, m] != ordered[:-1, m]
            first = new.nonzero().squeeze(1)
            leaves = torch.cat([first, end])
            self.levels.append(Level(above[first], ordered[first, m], leaves))
            above = new.cumsum(0) - 1
        if len(first) < len(items):
            raise ValueError("Two items have the same digits: identifiers must differ.")
        self.arrangements = [Arrangement(level.parents) for level in self.levels]
        self.place = torch.zeros(len(codes), dtype=torch.int64)
        """``(N + 1,)`` int64: where each item stands in the order of digits; 0 of others."""
        self.place[self.items] = torch.arange(len(items))

    def to(self, device: torch.device) -> "Trie":
        """Move everything to a device; gives the trie itself."""
        self.items, self.place = self.items.to(device), self.place.to(device)
        self.levels = [Level(*(part.to(device) for part in level)) for level in self.levels]
        for nodes in self.arrangements:
            nodes.place, nodes.slots = nodes.place.to(device), nodes.slots.to(device)
        return self

    def children(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """List the children of nodes.

        :param depth: of the children; that of the root's is 0.
        :param nodes: ``(...)`` int64 of the level above; 0 for the root.
        :returns: ``(..., C)`` int64 nodes, C being that of the widest, and which of them are there.
        """
        parents = self.levels[depth].parents  # ascending
        first, last = (torch.searchsorted(parents, nodes, right=end) for end in (False, True))
        widest = int((last - first).max()) if nodes.numel() else 0
        listed = first.unsqueeze(-1) + torch.arange(widest, device=first.device)
        there = listed < last.unsqueeze(-1)
        return listed.where(there, 0), there
