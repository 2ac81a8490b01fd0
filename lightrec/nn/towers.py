"""User towers: from the items of a history to a user vector at every position.

A ranker is given its tower as what makes one of a width: a class, or a class with settings.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional


class UserTower(nn.Module, ABC):
    """Reads item vectors in the order of a history and gives a user vector after each.

    A position's output depends only on itself and on the unpadded positions before it, and more
    padding on the left changes nothing: the same weights serve training on whole windows, and
    histories of any length afterwards. ``lightrec.testing.TowerChecks`` tries it.

    The constructor takes the width D first; its other arguments are settings with defaults.
    """

    @abstractmethod
    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences.

        :param x: (B, L, D) item vectors, oldest first.
        :param present: (B, L) bool, False at padding, which stands on the left.
        :returns: (B, L, D) user vectors; at padding they are meaningless but finite.
        """

    def last_only(self, x: Tensor, present: Tensor) -> Tensor:
        """Give the user vectors after the last items alone, (B, D); a tower may spare the rest."""
        last: Tensor = self(x, present)[:, -1]
        return last


def rotary_angles(length: int, size: int, device: torch.device) -> Tensor:
    """Angles of rotary position embeddings (Su et al. 2021, RoFormer, equation 15).

    :param length: number of positions L.
    :param size: width of one head, even.
    :returns: (2, L, size / 2) float32, cosines and sines.
    """
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the pairs of features of queries or keys by their positions' angles.

    :param x: (..., L, size).
    :param angles: from :func:`rotary_angles`.
    :returns: the same shape and dtype as ``x``.
    """
    first, second = x.chunk(2, dim=-1)
    cosine, sine = angles.to(x.dtype)
    # Of whole rows, which takes half the time on processors of what halves of them take.
    along, across = torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)
    return x * along + torch.cat([second, first], dim=-1) * across


def visible(present: Tensor) -> Tensor:
    """Whom each position sees: itself, and what is present before it.

    :param present: (B, L) bool.
    :returns: (B, 1, L, L) bool, query by key.
    """
    length = present.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=present.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=present.device)
    # Every position sees itself: a row without any key would be NaN.
    return ((causal & present[:, None, :]) | itself)[:, None]


class Layer(nn.Module):
    """What the layers of both transformers have: causal self-attention over the normed stream.

    :param size: width D.
    :param heads: number of attention heads; must divide D into even widths.
    :param dropout: on what each half of the layer adds to the stream.
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(size)
        self.attention_in = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def attend(self, x: Tensor, seen: Tensor, angles: Tensor, first: int = 0) -> Tensor:
        """Attend with rotary positions.

        :param x: (B, L, D).
        :param seen: from :func:`visible`.
        :param angles: of the width D / heads.
        :param first: the first position F that is asked for.
        :returns: (B, L - F, D), what attention adds to the stream from there on.
        """
        projected = self.attention_in(self.attention_norm(x)).view(*x.shape[:2], 3, self.heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            rotate(query[:, :, first:], angles[:, first:]),
            rotate(key, angles),
            value,
            attn_mask=seen[:, :, first:],
        )
        return self.attention_out(attended.transpose(1, 2).flatten(2))


class Block(Layer):
    """One pre-norm layer: causal self-attention, then a feed-forward network.

    :param feedforward: width of the inner layer as a multiple of D.
    """

    def __init__(self, size: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(size, heads, dropout)
        last = nn.Linear(feedforward * size, size)
        self.feedforward = nn.Sequential(
            nn.RMSNorm(size), nn.Linear(size, feedforward * size), nn.GELU(), last
        )
        # What a layer adds starts small, so that the stack starts near the identity.
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor, first: int = 0) -> Tensor:
        """Map (B, L, D) to (B, L - F, D); see :meth:`Layer.attend`."""
        x = x[:, first:] + self.dropout(self.attend(x, seen, angles, first))
        return x + self.dropout(self.feedforward(x))


class CausalTransformer(UserTower):
    """A stack of pre-norm causal layers over a left-padded sequence.

    Positions enter through their differences alone, so that more padding changes nothing.

    :param size: width D.
    :param layers: number of layers; 0 gives the (normalised) input back.
    :param heads: number of attention heads; D / heads must be a whole, even number.
    :param feedforward: width of the inner layers as a multiple of D.
    :param dropout: probability, on the input and on what each layer adds.
    :raises ValueError: where the heads do not fit the width.
    """

    block: ClassVar[type[nn.Module]] = Block
    """The class of the layers."""

    def __init__(
        self, size: int, layers: int = 2, heads: int = 2, feedforward: int = 4, dropout: float = 0.4
    ) -> None:
        super().__init__()
        if size % (2 * heads):
            raise ValueError(
                f"The width {size} cannot be divided among {heads} heads of even width: choose a "
                f"multiple of {2 * heads}."
            )
        self.head_size = size // heads
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            self.block(size, heads, feedforward, dropout) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`UserTower.forward`."""
        return self._read(x, present, 0)

    def last_only(self, x: Tensor, present: Tensor) -> Tensor:
        """Give the last user vectors; in the last layer no other position asks for anything."""
        return self._read(x, present, x.shape[1] - 1)[:, 0]

    def _read(self, x: Tensor, present: Tensor, first: int) -> Tensor:
        """Give the user vectors from position F on, (B, L - F, D)."""
        length = x.shape[1]
        seen, angles = visible(present), rotary_angles(length, self.head_size, x.device)
        x = self.dropout(x)
        for depth, block in enumerate(self.blocks, 1):
            x = block(x, seen, angles, first if depth == len(self.blocks) else 0)
        norm: Tensor = self.norm(x[:, first - length :])
        return norm


class LigrBlock(Layer):
    """One layer: x + σ(W x) * F(norm(x)), F first attention, then SwiGLU; see :class:`Block`."""

    def __init__(self, size: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(size, heads, dropout)
        self.feedforward_norm = nn.RMSNorm(size)
        self.attention_gate, self.feedforward_gate = nn.Linear(size, size), nn.Linear(size, size)
        self.enter = nn.Linear(size, 2 * feedforward * size, bias=False)
        self.leave = nn.Linear(feedforward * size, size, bias=False)
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(self.leave.weight, std=0.02)

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor, first: int = 0) -> Tensor:
        """Map (B, L, D) to (B, L - F, D); see :meth:`Layer.attend`."""
        added, x = self.attend(x, seen, angles, first), x[:, first:]
        x = x + torch.sigmoid(self.attention_gate(x)) * self.dropout(added)
        return x + torch.sigmoid(self.feedforward_gate(x)) * self.dropout(self.feed(x))

    def feed(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D): W3 (silu(W1 x) * W2 x) of the normed stream (Shazeer 2020)."""
        gate, value = self.enter(self.feedforward_norm(x)).chunk(2, dim=-1)
        return self.leave(functional.silu(gate) * value)


class LigrTransformer(CausalTransformer):
    """A stack of LiGR layers, as in eSASRec: pre-norm, gated residuals, SwiGLU.

    LiGR (From Features to Transformers, arXiv 2502.03417) gates what each half of a layer adds by a
    sigmoid of the stream itself; eSASRec puts such layers into SASRec. Unlike there, norms are
    root-mean-square and positions are rotary, so that more padding changes nothing. The settings
    are those of :class:`CausalTransformer`.
    """

    block = LigrBlock


class GRU(UserTower):
    """Gated recurrent units over the history, then a linear map (GRU4Rec, Hidasi et al. 2016).

    :param size: width D, of the state too.
    :param layers: number of recurrent layers, 1 or more.
    :param dropout: probability, on the input and between layers.
    :raises ValueError: where there are no layers.
    """

    def __init__(self, size: int, layers: int = 2, dropout: float = 0.4) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"A GRU cannot have {layers} layers: give 1 or more.")
        self.dropout = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.recurrent = nn.GRU(size, size, layers, batch_first=True, dropout=between)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`UserTower.forward`."""
        # What is present comes first, so that padding is read after it and moves no state.
        order = (~present).to(torch.int8).argsort(dim=1, stable=True)
        ordered = x.gather(1, order[..., None].expand_as(x))
        states, _ = self.recurrent(self.dropout(ordered))
        back = order.argsort(dim=1)[..., None].expand_as(states)
        return self.out(states.gather(1, back))


class MeanPooling(UserTower):
    """A running mean of the items so far, the last ones weighing most, then a linear map.

    An item k steps back weighs exp(-r k). Each of ``heads`` groups of features learns its own rate
    r, so that one may remember the last items and another all of them; half-lives start between 1
    and 32 steps.

    :param size: width D.
    :param heads: number of groups; must divide D.
    :param dropout: probability, on the mean.
    :raises ValueError: where the groups do not fit the width.
    """

    def __init__(self, size: int, heads: int = 2, dropout: float = 0.4) -> None:
        super().__init__()
        if heads < 1 or size % heads:
            raise ValueError(
                f"The width {size} cannot be divided into {heads} groups: choose a multiple."
            )
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        half_life = 2.0 ** torch.linspace(0, 5, heads)
        self.log_rate = nn.Parameter((torch.tensor(2.0).log() / half_life).log())
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`UserTower.forward`."""
        batch, length, _ = x.shape
        steps = torch.arange(length, device=x.device)
        back = (steps[:, None] - steps).to(x.dtype)
        # Weights of keys for queries, (H, L, L); what comes later weighs nothing.
        weight = (-self.log_rate.exp()[:, None, None] * back.clamp_min(0)).exp() * (back >= 0)
        kept = present.to(x.dtype)
        items = (x * kept[..., None]).view(batch, length, self.heads, -1)
        total = torch.einsum("hqk,bkhd->bqhd", weight, items)
        mass = torch.einsum("hqk,bk->bqh", weight, kept)[..., None]
        return self.out(self.dropout((total / mass.clamp_min(1e-9)).reshape(x.shape)))


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


class AdditiveAttention(UserTower):
    """A mean of the items so far, weighted by what each is, as in two readers of news.

    That is all of NAML's user encoder (Wu et al. 2019, IJCAI, equations 12 to 14). With ``heads``
    items first attend to each other, each head by queries, keys and values of its own and without
    any positions, as in NRMS (Wu et al. 2019, EMNLP, equations 5 to 8). There an item attends to
    later ones too; here only to itself and those before it, since training asks for a user vector
    after each item. The order of what both read counts little or nothing: the user vector of a
    :class:`CausalTransformer` tells more where the last items count most.

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
        """Read sequences; see :meth:`UserTower.forward`."""
        seen, x = visible(present), self.dropout(x)
        if self.attention_in is not None:
            x = self.dropout(attended(self.attention_in(x), self.heads, seen))
        return self.pool(x, seen[:, 0])


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
