"""Item readers: from the words of an item's columns, such as title and genres, to its vector.

A ranker is given its reader as it is its tower: as what makes one of three sizes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.nn.towers import AdditivePooling, attended, check_heads


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


class ConvolutionReader(ItemReader):
    """A convolution over the words of each column, additive attention over words, then columns.

    NAML's news encoder (Wu et al. 2019, IJCAI, equations 1 to 11): a column's vector is a mean over
    its words of ReLU(F [e_{i-1}; e_i; e_{i+1}] + b), weighted by additive attention, and an item's
    vector is such a mean over its columns. A category is a column of one word, of which this is
    ReLU(V e + v), as there.

    :param hidden: length of the vectors that ask how much a word and a column count.
    :param dropout: probability, on words' vectors, for a word wherever it stands, and on what
        the convolution gives.
    """

    def __init__(
        self, size: int, width: int, columns: int, hidden: int = 64, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.filters = nn.ModuleList(nn.Linear(width, 3 * size, bias=False) for _ in range(columns))
        self.bias = nn.Parameter(torch.zeros(columns, size))
        self.pools = nn.ModuleList(AdditivePooling(size, hidden) for _ in range(columns))
        self.pool = AdditivePooling(size, hidden)

    def forward(self, words: Tensor, columns: Sequence[Tensor]) -> Tensor:
        """Read items; see :meth:`ItemReader.forward`."""
        words, views, said = self.dropout(words), [], []
        own_layers = zip(columns, self.filters, self.bias, self.pools, strict=True)
        for places, filters, bias, pool in own_layers:
            present = places != 0
            # Projected before they are looked up, as what each word adds to its neighbours.
            added = functional.embedding(places, filters(words)) * present[..., None]
            after, own, before = added.chunk(3, dim=2)
            after = functional.pad(after, (0, 0, 1, -1))
            before = functional.pad(before, (0, 0, -1, 1))
            found = self.dropout(functional.relu(after + own + before + bias))
            views.append(pool(found, present[:, None]).squeeze(1))
            said.append(present.any(1))
        return self.pool(torch.stack(views, 1), torch.stack(said, 1)[:, None]).squeeze(1)
