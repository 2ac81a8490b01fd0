"""Items without training events, which come in place of items that they read like."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from lightrec_generate.identifiers import SHARPNESS, Identifiers, nearest

LIKE = 20
"""Number of new items that come in place of one at most."""
RECENT = 5
"""Number of a history's last items that are replaced, too."""
DECAY = 0.5
"""Factor by which each of them counts less than the one after it."""
RECENT_SHARE = 0.2
"""The share of new items that come in place of these, and not of what would be written."""


class Newcomers(NamedTuple):
    """Items without training events, R of them, and what they come in place of.

    A share of what is written is replaced. What is replaced is an item that the generator would
    write, or, RECENT_SHARE of the time, one of the history's last. In its place a new item comes
    with a probability that grows with the cosine of their words, and falls with how near the new
    item is to all others, so that none comes everywhere. An item whose words say nothing stays, and
    a new one that is among the LIKE nearest of no item is not written.
    """

    share: float
    """Share of what is written that is replaced."""
    items: Tensor
    """``(R,)`` int64."""
    table: Tensor
    """``(N + 1, F)`` int64: which of the new items may come in place of each, 0 to R - 1."""
    chances: Tensor
    """``(N + 1, F)`` float32: the probability of each; rows sum to 1, or to 0 for what stays."""
    sources: Tensor
    """``(E,)`` int64: what each new item may come in place of, in the order of the new items."""
    starts: Tensor
    """``(R,)`` int64: where those of a new item begin."""
    shares: Tensor
    """``(E,)`` float32: the probability of the new item in place of each source."""

    @classmethod
    def of(cls, identifiers: Identifiers, trained: Tensor, fresh: float) -> "Newcomers | None":
        """Find what new items read like; None where no words say it.

        :param trained: ``(N + 1,)`` bool: which items have training events.
        :param fresh: how much a new item counts beside one of these.
        """
        words = identifiers.vectors[:, : identifiers.axes.shape[1]]
        said = words.any(1)
        items, replaced = (each.nonzero().squeeze(1) for each in (said & ~trained, said & trained))
        if not len(items) or not len(replaced):
            return None
        cosines, columns = nearest(words[replaced], words[items], LIKE)
        table = torch.zeros(len(words), columns.shape[1], dtype=torch.int64, device=words.device)
        chances = torch.zeros_like(table, dtype=torch.float32)
        near = SHARPNESS * cosines.float()
        totals = near.new_zeros(len(items)).index_add(0, columns.flatten(), near.exp().flatten())
        table[replaced] = columns
        chances[replaced] = (near - totals.log()[columns]).softmax(1)
        sources = replaced.repeat_interleave(columns.shape[1])
        column = columns.flatten()
        order = column.argsort(stable=True)
        starts = torch.searchsorted(column[order], torch.arange(len(items), device=words.device))
        shares = chances[replaced].flatten()[order]
        counted = fresh * len(items)
        share = counted / (int(trained.sum()) + counted)
        return cls(share, items, table, chances, sources[order], starts, shares)

    def joined(self, law: Tensor, last: Tensor) -> Tensor:
        """Let new items join a law.

        :param law: ``(B, N + 1)`` float32 log-probabilities of what would be written.
        :param last: ``(B, T)`` int64 items of a history, the last one at the right; 0 where there
            is none.
        :returns: ``(B, N + 1)`` log-probabilities.
        """
        age = torch.arange(last.shape[1], device=last.device).flip(0)
        counted = DECAY**age * self.chances[last].any(-1)
        # The share of each in what is replaced; in all RECENT_SHARE, or 0 where none can be.
        recent = RECENT_SHARE * counted / counted.sum(1, keepdim=True).clamp_min(1e-9)
        last_ones = recent.sum(1, keepdim=True)
        replacements = embedding_bag(
            self.sources,
            law.exp().T.contiguous(),
            self.starts,
            mode="sum",
            per_sample_weights=self.shares,
        ).T * (1 - last_ones)
        added = recent.unsqueeze(-1) * self.chances[last]
        replacements = replacements.scatter_add(1, self.table[last].flatten(1), added.flatten(1))
        replaced = self.share * last_ones.where(~self.chances.any(1), 1.0)
        new = (self.share * replacements).clamp_min(1e-38).log()
        return (law + (1 - replaced).log()).index_copy_(1, self.items, new)
