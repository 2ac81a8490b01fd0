"""Items that are put while serving, of which nothing was learned: others speak for them."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.api import PADDING, Column
from lightrec.encoders.words import word_table, words_of

NEAR: Final = 20
"""Number of known items that speak for a new one."""
POWER: Final = 4
"""Exponent of their texts' cosines: the nearest speak loudest."""
HELD: Final = 1_000
"""Number of new texts that are remembered with what speaks for them."""
Encode = Callable[[Sequence[str]], Tensor]


class Newcomers:
    """Items without events, each known by the items whose texts are nearest.

    :param items: N rows, of the items 1 to N.
    :param vectors: (N + 1, V) of their texts; V is 0 where no encoder reads them, and words count.
    :param encode: makes such vectors.
    :param warm: (N + 1,) bool, the items that something was learned of.
    """

    def __init__(
        self, items: pl.DataFrame, vectors: Tensor, encode: Encode | None, warm: Tensor
    ) -> None:
        self.encode = encode if vectors.shape[1] else None
        self.warm = warm.clone().index_fill_(0, torch.tensor([PADDING]), False)
        if self.encode is not None:
            self.centre = vectors[1:].mean(0)
            self.units = normalize(vectors - self.centre, dim=1)
        else:
            table, words = word_table(items[Column.TEXT].fill_null("").to_list())
            self.table = table.tocsc()  # a text reads the columns of its own words alone
            self.column = {word: place for place, word in enumerate(words)}
            counts = np.maximum(1, np.asarray((table > 0).sum(0)).ravel())
            self.rarity = np.log(1 + len(items) / counts)
        self._held: dict[str, tuple[Tensor, Tensor]] = {}
        self.near = torch.zeros(0, NEAR, dtype=torch.int64)
        """(L, 20) items that speak for each new one."""
        self.loud = torch.zeros(0, NEAR)
        """(L, 20) their weights, which sum to 1."""

    def put(self, place: int, text: str) -> None:
        """Note what speaks for a new item.

        :param place: 0 for item N + 1, at most L.
        """
        near, loud = self.speakers([text])[0]
        self.near, self.loud = placed(self.near, place, near), placed(self.loud, place, loud)

    def speakers(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Find the items (20,) that speak for one with such a text, and their weights."""
        held = self._held
        found = {text: held[text] for text in texts if text in held}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        vectors = self.encode(new) if new and self.encode is not None else [None] * len(new)
        found |= {text: self._speak(text, each) for text, each in zip(new, vectors, strict=True)}
        # Never changed, but another one each time: the engine's thread and another may be here.
        self._held = dict([*held.items(), *found.items()][-HELD:])
        return [found[text] for text in texts]

    def _speak(self, text: str, vector: Tensor | None) -> tuple[Tensor, Tensor]:
        alike = self._alike(text, vector).clamp_min(0).mul(self.warm)
        count = min(NEAR, len(alike))
        cosines, items = alike.topk(count)
        loud = cosines**POWER
        if not loud.any():  # no text is alike: all that was learned of speak
            loud, items = self.warm.float().topk(count)
        return pad(items, (0, NEAR - count)), pad(loud / loud.sum(), (0, NEAR - count))

    def _alike(self, text: str, vector: Tensor | None) -> Tensor:
        if vector is not None:
            return self.units @ normalize(vector - self.centre, dim=0)
        columns = sorted({self.column[word] for word in words_of(text) if word in self.column})
        shared = self.table[:, columns] @ self.rarity[columns] ** 2
        return torch.from_numpy(np.asarray(shared, dtype=np.float32))

    def mixed(self, values: Tensor) -> Tensor:
        """Average what holds of known items over those that speak: (…, N + 1) to (…, L)."""
        return (values[..., self.near] * self.loud).sum(-1)


def placed(table: Tensor, place: int, row: Tensor) -> Tensor:
    """A table with a row at a place, in place of the one that is there or behind the last."""
    return torch.cat([table[:place], row[None], table[place + 1 :]])
