"""The words of items' columns as numbers, for what learns to read them."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import polars as pl
import torch
from torch import Tensor

from lightrec.encoders.base import Encoder
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import words_of
from lightrec.errors import RecipeError

WIDTH: Final = 64
"""Length of words' vectors that start at random."""


class Tokens(NamedTuple):
    """What items say, in a vocabulary of their own W words."""

    names: list[str]
    """(W,) the words; the first, the empty one, is padding."""
    table: Tensor
    """(N + 1, C, T) int32: the first words of each column's value, then 0; row 0 is padding."""
    start: Tensor | None
    """(W, E) float32 vectors of the words that a language model has learned, row 0 zero."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """C, T, W and E."""
        width = WIDTH if self.start is None else self.start.shape[1]
        return *self.table.shape[1:], len(self.names), width


def tokens_of(
    catalog: pl.DataFrame, columns: Sequence[str], length: int, encoder: Encoder | None
) -> Tokens:
    """Number the words of items.

    :param catalog: N items.
    :param columns: C of its columns: texts, categories, lists, numbers.
    :param length: at most so many words of a value are read.
    :param encoder: a :class:`~lightrec.encoders.text.TextEncoder` gives its tokenizer's pieces and
        their vectors; without one, words are split as by ``words_of``, and those of one item alone
        are left out, since they tell nothing of others.
    :raises RecipeError: where the catalog has no such column.
    """
    if missing := [name for name in columns if name not in catalog.columns]:
        raise RecipeError(
            f"`reads` names {', '.join(missing)} among the items' columns, and the catalog has "
            f"{', '.join(catalog.columns)}: name columns that it has, or prepare the log with "
            "items that have them."
        )
    values = [text for name in columns for text in _texts(catalog[name])]
    model = encoder if isinstance(encoder, TextEncoder) else None
    if model is not None:
        said = model.pieces(values, length)
    else:
        said = [words_of(text) for text in values]
        # A word that an item says in two columns is still one item's.
        items = (set().union(*said[item :: len(catalog)]) for item in range(len(catalog)))
        counts = Counter(chain.from_iterable(items))
        said = [[word for word in own if counts[word] > 1][:length] for own in said]
    names = ["", *sorted(set().union(*said))]
    number = {name: place for place, name in enumerate(names)}
    table = torch.zeros(len(values), max(1, *map(len, said)), dtype=torch.int32)
    for row, own in enumerate(said):
        table[row, : len(own)] = torch.tensor([number[word] for word in own], dtype=torch.int32)
    table = table.view(len(columns), len(catalog), -1).transpose(0, 1)
    start = None if model is None else model.piece_vectors(names)
    return Tokens(names, torch.cat([torch.zeros_like(table[:1]), table]), start)


def _texts(column: pl.Series) -> list[str]:
    """Give a column's values as texts, the empty one where there is none."""
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(" ")
    return column.cast(pl.String).fill_null("").to_list()
