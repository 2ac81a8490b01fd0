"""Item readers: from the words of an item's columns, such as title and genres, to its vector.

A ranker is given its reader as it is its tower: as what makes one of three sizes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ItemReader(nn.Module, ABC):
    """Reads the words of items, and gives each item a vector.

    The constructor takes the width D of the vectors, the width E of words' vectors and the number
    of columns C first; its other arguments are settings with defaults.
    """

    @abstractmethod
    def forward(self, words: Tensor, columns: Sequence[Tensor]) -> Tensor:
        """Read items.

        :param words: (U, E) vectors of the distinct words that some items have; row 0 is padding.
        :param columns: for each of the C columns (M, T) int64, the rows of the words that M items
            have there, in their order, and then padding; T is the largest number of words.
        :returns: (M, D); zeros for an item without any word.
        """


class SelfAttentionReader(ItemReader):
    """Self-attention over an item's words, then additive attention: NRMS's news encoder.

    Wu et al. 2019, EMNLP, equations 1 to 4. All columns are read as one text; the paper reads
    titles. As there, words have no positions.

    :param heads: number of attention heads; must divide D.
    :param hidden: length of the vector that asks how much a word counts.
    :param dropout: probability, on words' vectors, for a word wherever it stands, and on what
        attention gives.
    :raises ValueError: where the heads do not fit the width.
    """

    def __init__(
        self,
        size: int,
        width: int,
        columns: int,
        heads: int = 4,
        hidden: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_heads(size, heads)
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.attention_in = nn.Linear(width, 3 * size, bias=False)
        self.pool = AdditivePooling(size, hidden)

    def forward(self, words: Tensor, columns: Sequence[Tensor]) -> Tensor:
        """Read items; see :meth:`ItemReader.forward`."""
        places = torch.cat([*columns], 1)
        present = (places != 0)[:, None]
        # Projected before they are looked up: a word's queries, keys and values are its own.
        projected = functional.embedding(places, self.attention_in(self.dropout(words)))
        # A row without any key would be NaN.
        seen = present | ~present.any(dim=2, keepdim=True)
        found = self.dropout(attended(projected, self.heads, seen[:, None]))
        return self.pool(found, present).squeeze(1)


class AdditivePooling(nn.Module):
    """A mean of vectors, weighted by what each is: exp(q · tanh(V h + v)) over their sum.

    :param size: length of the vectors D.
    :param hidden: length of q.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        score = nn.Linear(hidden, 1, bias=False)
        self.score = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), score)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Pool.

        :param x: (B, L, D).
        :param seen: (B, Q, L) bool, of Q means which vectors each is of.
        :returns: (B, Q, D); zeros where a mean is of nothing.
        """
        scores = self.score(x).transpose(1, 2)
        weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(dim=2)
        return (weights * seen) @ x


def attended(projected: Tensor, heads: int, seen: Tensor) -> Tensor:
    """Let vectors attend to each other, without positions.

    :param projected: (B, L, 3 D), queries, keys and values side by side.
    :param seen: (B, 1, L or 1, L) bool, query by key; no row without any.
    :returns: (B, L, D), the heads side by side.
    """
    query, key, value = projected.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return found.transpose(1, 2).flatten(2)


def check_heads(size: int, heads: int) -> None:
    """See that heads divide a width.

    :raises ValueError: where they do not.
    """
    if heads < 0 or (heads and size % heads):
        raise ValueError(
            f"The width {size} cannot be divided among {heads} heads: choose a multiple."
        )
