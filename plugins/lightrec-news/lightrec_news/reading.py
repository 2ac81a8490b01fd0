"""How NRMS and NAML read: an item's words by attention or convolution, then a history's items."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.api import ItemReader, UserTower
from lightrec.nn.towers import visible


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
        """Read items; see :meth:`~lightrec.nn.item_tower.ItemReader.forward`."""
        places = torch.cat([*columns], 1)
        present = (places != 0)[:, None]
        # Projected before they are looked up: a word's queries, keys and values are its own.
        projected = functional.embedding(places, self.attention_in(self.dropout(words)))
        # A row without any key would be NaN.
        seen = present | ~present.any(dim=2, keepdim=True)
        states = self.dropout(attended(projected, self.heads, seen[:, None]))
        return self.pool(states, present).squeeze(1)


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
        """Read items; see :meth:`~lightrec.nn.item_tower.ItemReader.forward`."""
        words, views, said = self.dropout(words), [], []
        layers = zip(columns, self.filters, self.bias, self.pools, strict=True)
        for places, filters, bias, pool in layers:
            present = places != 0
            # Projected before they are looked up, as what each word adds to its neighbours.
            added = functional.embedding(places, filters(words)) * present[..., None]
            after, here, before = added.chunk(3, dim=2)
            after = functional.pad(after, (0, 0, 1, -1))
            before = functional.pad(before, (0, 0, -1, 1))
            states = self.dropout(functional.relu(after + here + before + bias))
            views.append(pool(states, present[:, None]).squeeze(1))
            said.append(present.any(1))
        return self.pool(torch.stack(views, 1), torch.stack(said, 1)[:, None]).squeeze(1)


class AdditiveAttention(UserTower):
    """A mean of the items so far, weighted by what each is, as in two readers of news.

    That is all of NAML's user encoder (Wu et al. 2019, IJCAI, equations 12 to 14). With ``heads``
    items first attend to each other, each head by queries, keys and values of its own and without
    any positions, as in NRMS (Wu et al. 2019, EMNLP, equations 5 to 8). There an item attends to
    later ones too; here only to itself and those before it, since training asks for a user vector
    after each item. The order of what both read counts little or nothing: the user vector of a
    :class:`~lightrec.nn.towers.CausalTransformer` tells more where the last items count most.

    :param size: width D.
    :param heads: number of attention heads, which must divide D; 0 for none.
    :param hidden: length of the vector that asks how much an item counts.
    :param dropout: probability, on the input and on what attention gives.
    :raises ValueError: where the heads do not fit the width.
    """

    def __init__(self, size: int, heads: int = 0, hidden: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        check_heads(size, heads)
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.attention_in = nn.Linear(size, 3 * size, bias=False) if heads else None
        self.pool = AdditivePooling(size, hidden)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`~lightrec.nn.towers.UserTower.forward`."""
        seen, x = visible(present), self.dropout(x)
        if self.attention_in is not None:
            x = self.dropout(attended(self.attention_in(x), self.heads, seen))
        return self.pool(x, seen[:, 0])


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
    states = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return states.transpose(1, 2).flatten(2)


def check_heads(size: int, heads: int) -> None:
    """See that heads divide a width.

    :raises ValueError: where they do not.
    """
    if heads < 0 or (heads and size % heads):
        raise ValueError(
            f"The width {size} cannot be divided among {heads} heads: choose a multiple."
        )
