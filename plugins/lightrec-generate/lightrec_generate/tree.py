"""The generator that writes digit after digit, down the trie of all identifiers."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, pad

from lightrec.nn.precision import as_float64
from lightrec_generate.generator import Generator
from lightrec_generate.identifiers import Identifiers


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


class TreeGenerator(Generator):
    """Writes digit after digit, each one given the history and the digits before it.

    The logit of a digit after a prefix is (user vector, scaled and shifted as the prefix says) ·
    digit's vector, plus a learned multiple of the logarithm of how often the items below were
    chosen. To the last digit's vector is added what is known of the item, as in reading. Only
    the digits below the prefix take part. Since scale and shift depend on the prefix alone,
    every node of the trie has a vector and a bias, and the law over the whole catalog is a matrix
    product and a softmax among siblings.

    :param identifiers: names the items.
    :param hidden: width of the layer that reads a prefix.
    :param settings: of :class:`~lightrec_generate.generator.Generator`.
    """

    def __init__(self, identifiers: Identifiers, hidden: int = 128, **settings: Any) -> None:
        super().__init__(identifiers, **settings)
        size = self.size
        self.prefixes = nn.ModuleList(
            nn.Sequential(
                nn.RMSNorm(size), nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, 2 * size)
            )
            for _ in range(identifiers.digits - 1)
        )
        for network in self.prefixes:
            for name in ("3.weight", "3.bias"):
                nn.init.zeros_(network.get_parameter(name))
        self.popularity = nn.Parameter(torch.ones(identifiers.digits))
        self.leaves = nn.Parameter(torch.zeros(self.num_items + 1, size))
        self.known_written = nn.Linear(identifiers.vectors.shape[1], size, bias=False)
        nn.init.zeros_(self.known_written.weight)
        self._trie: Trie | None = None
        self._of: Tensor | None = None
        self._siblings: list[tuple[Tensor, Tensor]] = []
        self._weights: list[Tensor] = []

    @property
    def trie(self) -> Trie:
        """The trie of the identifiers of known items, on their device."""
        written = self.known
        if self._trie is None or self._of is not written:
            with torch.inference_mode(False):
                codes, items = self.identifiers.codes, written.nonzero().squeeze(1)
                self._trie = Trie(codes, items).to(codes.device)
            self._of, self._siblings, self._weights = written, [], []
        return self._trie

    def queries(self, depth: int, users: Tensor, codes: Tensor) -> Tensor:
        """The vectors that digits are compared with.

        :param users: ``(..., D)``.
        :param codes: ``(..., M)`` int64, of which the first ``depth`` digits are read.
        :returns: ``(..., D)``.
        """
        queries: Tensor = self.asks[depth](users)
        if depth == 0:
            return queries
        scale, shift = self._bends(depth, codes)
        return queries * scale + shift

    def leaf_logits(self, queries: Tensor, leaves: Tensor) -> Tensor:
        """The logits that items add to those of their last digits.

        :param queries: ``(..., D)`` from :meth:`queries`.
        :param leaves: ``(..., C)`` int64 nodes of the last level.
        :returns: ``(..., C)``.
        """
        items, place = self.trie.items[leaves].unique(return_inverse=True)
        logits = embedding(place, self._leaves(items)) @ queries.unsqueeze(-1)
        return logits.squeeze(-1)

    def _leaves(self, items: Tensor) -> Tensor:
        """The vectors that items ``(R,)`` add to those of their last digits, ``(R, D)``."""
        added: Tensor = self.leaves[items] + self.known_written(self.identifiers.vectors[items])
        return added

    def _bends(self, depth: int, codes: Tensor) -> tuple[Tensor, Tensor]:
        bend = self.prefixes[depth - 1](self._digits(codes[..., :depth], self.written))
        scale, shift = bend.chunk(2, -1)
        return 1 + scale, shift

    def weights(self, depth: int) -> Tensor:
        """Logarithms ``(P,)`` of how often the items below each node were chosen."""
        if self.trie and not self._weights:  # a new trie has none
            with torch.inference_mode(False):
                often = as_float64(self.counts.clamp_min(1)[self.trie.items])
                total = pad(often.cumsum(0), (1, 0))
                ends = [level.leaves.to(total.device) for level in self.trie.levels]
                logs = [total[leaves].diff().float().log() for leaves in ends]
                self._weights = [each.to(self.counts.device) for each in logs]
        return self._weights[depth]

    def loss(self, states: Tensor, target: Tensor) -> Tensor:
        """Minus the mean log-probability of what came, a scalar."""
        codes, total = self.identifiers.codes[target], states.new_zeros(())
        for depth in range(codes.shape[1]):
            queries = self.queries(depth, states, codes)
            logits = queries @ self.written[depth].T
            if depth == self.identifiers.digits - 1:
                leaf = self.trie.place[target]
                level = self.trie.levels[depth]
                listed, here = self.trie.children(depth, level.parents[leaf])
                added = self.leaf_logits(queries, listed) * here
                logits = logits.scatter_add(1, level.digits[listed], added)
            table, rows = self.siblings[depth]
            weights = table[rows[target]]
            logits = logits + self.popularity[depth] * weights.nan_to_num(0.0)
            logits = logits.masked_fill(weights.isnan(), -torch.inf)
            total = total + cross_entropy(logits, codes[:, depth])
        return total

    @property
    def siblings(self) -> list[tuple[Tensor, Tensor]]:
        """Of each level the weights ``(S, K)`` of digits after a prefix, NaN where one does not go
        on in the trie, and ``(N + 1,)`` which of these rows is that of an item's prefix.
        """
        if self.trie and not self._siblings:
            for number, level in enumerate(self.trie.levels):
                above, row = level.parents.unique_consecutive(return_inverse=True)
                shape = len(above), self.identifiers.size
                table = torch.full(shape, torch.nan, device=above.device)
                table[row, level.digits] = self.weights(number)
                rows = torch.repeat_interleave(row, level.leaves.diff())[self.trie.place]
                self._siblings.append((table, rows))
        return self._siblings

    def tables(self) -> list[tuple[Tensor, Tensor]]:
        """Each level's vectors ``(S, D)`` and biases ``(S, 1)`` of the arranged nodes."""
        tables, ordered = [], self.identifiers.codes[self.trie.items]
        for depth, (level, nodes) in enumerate(
            zip(self.trie.levels, self.trie.arrangements, strict=True)
        ):
            vectors = self.written[depth][level.digits]
            if depth == self.identifiers.digits - 1:
                vectors = vectors + self._leaves(self.trie.items)
            bias = self.popularity[depth] * self.weights(depth)
            if depth:
                above = self.trie.levels[depth - 1]
                scale, shift = self._bends(depth, ordered[above.leaves[:-1]])
                bias = bias + (shift[level.parents] * vectors).sum(1)
                vectors = vectors * scale[level.parents]
            slots, empty = nodes.slots.clamp_min(0), nodes.slots < 0
            bias = bias[slots].masked_fill(empty, -torch.inf)
            tables.append(
                (vectors[slots] @ self.asks[depth].get_parameter("weight"), bias.unsqueeze(1))
            )
        return tables

    def law(self, users: Tensor, tables: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The law over the items that are known, ``(B, N + 1)``."""
        total = users.new_zeros(1, len(users))
        for (vectors, bias), level, nodes in zip(
            tables, self.trie.levels, self.trie.arrangements, strict=True
        ):
            logits = torch.addmm(bias, vectors, users.T)
            total = nodes.log_softmax(logits) + total[level.parents]
        return total[self.trie.place].T
