"""Features of an item in a state that have names: what a linear reward is linear in."""

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.data.categories import CATEGORIES
from lightrec.data.store import EventStore
from lightrec.keys import PADDING, Column

POPULARITY = "popularity (log)"
"""The feature that is counted in the log itself."""
RECENT = 5
"""How many of the last steps count as lately."""
FEW = 5
"""A category of fewer items has no feature of its own."""


class RewardFeatures:
    """Names and values of the features of items in states.

    One for every item; the log of its popularity; every number in the catalog; every value of the
    attributes of words with 2 to 40 values, of a single-valued one all but the most frequent; how
    near the item's vector is to the last step's and to those of the last steps; how many of these
    share a category with it; and, where items repeat, how often it was chosen in them. Popularity
    and numbers are in standard deviations over the catalog, the cosines in those of two random
    vectors, 1 / √D.

    :param store: the prepared log.
    :param vectors: (N + 1, D) float32, row 0 ignored.
    :param counts: (N + 1,) int64, how often each item was chosen.
    """

    def __init__(self, store: EventStore, vectors: Tensor, counts: NDArray[np.int64]) -> None:
        self.num_items, self.repeats = store.num_items, store.repeats
        popularity = torch.from_numpy(np.log1p(counts[1:]))
        named = {"any item": torch.ones(store.num_items)}
        if popularity.std() > 0:
            named[POPULARITY] = _standard(popularity)
        categories: dict[str, Tensor] = {}
        for name in store.catalog.columns:
            if name in (Column.ITEM, Column.TITLE, Column.TEXT):
                continue
            column = store.catalog.get_column(name)
            if column.dtype.is_numeric():
                numbers = torch.from_numpy(column.cast(pl.Float64).fill_nan(None).to_numpy().copy())
                if len(numbers[numbers.isfinite()].unique()) > 1:
                    named[name] = _standard(numbers)
            else:
                categories |= _one_hot(column)
        self.names = [*named, *categories]
        rows = torch.stack([*named.values(), *categories.values()], 1)
        # Row 0 is padding and row N + 1 nothing: neither is like anything.
        self.items = pad(rows.float(), (0, 0, 1, 1))
        kinds = rows[:, len(named) :].float()
        self.kinds = pad(kinds, (0, 0, 1, 1)) if kinds.shape[1] else None
        # Not copied: the catalog may be large.
        self.vectors, self.mean = vectors, vectors[1:].mean(0)
        if vectors.shape[1]:
            self.names += ["like the last", f"like the last {RECENT}"]
        if self.kinds is not None:
            self.names.append(f"of the last {RECENT}, of a shared category")
        if self.repeats:
            self.names.append(f"chosen in the last {RECENT}")

    def __call__(self, history: Tensor, items: Tensor) -> Tensor:
        """Values (B, C, F) float32.

        :param history: (B, L) int64, padded on the left.
        :param items: (B, C) int64, 0 for none.
        """
        recent = history[:, -RECENT:].clamp_max(self.num_items + 1)
        found = [self.items[items]]
        if self.vectors.shape[1]:
            near = self._direction(items) @ self._direction(recent).mT * len(self.mean) ** 0.5
            found += [near[..., -1:], near.mean(2, keepdim=True)]
        if self.kinds is not None:
            shared = self.kinds[items] @ self.kinds[recent].mT > 0
            found.append(shared.sum(2, keepdim=True).float())
        if self.repeats:
            there = items.unsqueeze(2) == recent.unsqueeze(1)
            found.append((there & (items > PADDING).unsqueeze(2)).sum(2, keepdim=True).float())
        return torch.cat(found, 2)

    def _direction(self, items: Tensor) -> Tensor:
        """Unit vectors (..., D) of items; padding and nothing are like nothing."""
        there = (items > PADDING) & (items <= self.num_items)
        centred = self.vectors[torch.where(there, items, PADDING)] - self.mean
        return normalize(centred, dim=-1) * there.unsqueeze(-1)


def _standard(numbers: Tensor) -> Tensor:
    """Centre and scale numbers (N,); what is not known is the mean."""
    known = numbers.isfinite()
    mean, spread = numbers[known].mean(), numbers[known].std().clamp_min(1e-12)
    return torch.where(known, (numbers - mean) / spread, 0)


def _one_hot(column: pl.Series) -> dict[str, Tensor]:
    """Columns (N,) of 0 and 1 for the values of an attribute of words; none if too many differ."""
    several = isinstance(column.dtype, pl.List)
    rows = column if several else column.cast(pl.String).reshape((-1, 1)).arr.to_list()
    if rows.dtype != pl.List(pl.String):
        return {}
    counts = rows.explode().drop_nulls().value_counts(sort=True)
    if not 2 <= counts.height <= CATEGORIES:
        return {}
    kept = [word for word, count in counts.iter_rows() if count >= FEW]
    # Of a single-valued attribute one value says nothing that the others and "any item" do not.
    shown = sorted(kept if several else kept[1:])
    has = {word: rows.list.contains(word).fill_null(False).to_numpy() for word in shown}
    return {f"{column.name}: {word}": torch.tensor(x).float() for word, x in has.items()}
