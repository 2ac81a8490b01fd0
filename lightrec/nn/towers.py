"""User towers: from the items of a history to a user vector at every position.

A ranker is given its tower as what makes one of a width: a class, or a class with settings.
"""

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.moved import old_names

__getattr__ = old_names(__name__)

Norm: TypeAlias = Literal["pre", "post"]


class UserTower(nn.Module, ABC):
    """Reads item vectors in the order of a history and gives a user vector after each.

    A position's output depends only on itself and on the unpadded positions before it, and more
    padding on the left changes nothing: the same weights serve training on whole windows, and
    histories of any length afterwards. ``lightrec_testing.TowerChecks`` tries it.

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
        """User vectors after the last items alone, (B, D); a tower may spare the rest."""
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


class Block(nn.Module):
    """One layer: causal self-attention, then a feed-forward network.

    :param size: width D.
    :param heads: number of attention heads; must divide D into even widths.
    :param feedforward: width of the inner layer as a multiple of D.
    :param dropout: on what each half of the layer adds to the stream.
    :param norm: whether each half normalises what it reads, or the stream after it.
    """

    def __init__(
        self, size: int, heads: int, feedforward: int, dropout: float, norm: Norm = "pre"
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm: nn.Module = nn.RMSNorm(size)
        self.attention_in = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.dropout = nn.Dropout(dropout)
        last, first = nn.Linear(feedforward * size, size), nn.Linear(size, feedforward * size)
        self.feedforward = nn.Sequential(nn.RMSNorm(size), first, nn.GELU(), last)
        # What a layer adds starts small, so that the stack starts near the identity.
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)
        self.after: nn.ModuleList | None = None
        if norm == "post":
            self.attention_norm, self.feedforward[0] = nn.Identity(), nn.Identity()
            self.after = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
            for weights in (self.attention_in.weight, first.weight):
                nn.init.normal_(weights, std=0.02)

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

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor, first: int = 0) -> Tensor:
        """Map (B, L, D) to (B, L - F, D); see :meth:`attend`."""
        x = x[:, first:] + self.dropout(self.attend(x, seen, angles, first))
        if self.after is None:
            return x + self.dropout(self.feedforward(x))
        x = self.after[0](x)
        return self.after[1](x + self.dropout(self.feedforward(x)))


class CausalTransformer(UserTower):
    """A stack of causal layers over a left-padded sequence.

    Positions enter through their differences alone, so that more padding changes nothing.

    :param size: width D.
    :param layers: number of layers; 0 gives the (normalised) input back.
    :param heads: number of attention heads; D / heads must be a whole, even number.
    :param feedforward: width of the inner layers as a multiple of D.
    :param dropout: probability, on the input and on what each layer adds.
    :param norm: where layers normalise: ``pre``, what each half of one reads, and once at the end;
        or ``post``, the sum after each half, which needs more epochs at a lower learning rate.
    :raises ValueError: where the heads do not fit the width.
    """

    def __init__(
        self,
        size: int,
        layers: int = 2,
        heads: int = 2,
        feedforward: int = 4,
        dropout: float = 0.4,
        norm: Norm = "pre",
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
            Block(size, heads, feedforward, dropout, norm) for _ in range(layers)
        )
        self.norm: nn.Module = nn.RMSNorm(size) if norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`UserTower.forward`."""
        return self._read(x, present, 0)

    def last_only(self, x: Tensor, present: Tensor) -> Tensor:
        """The last user vectors; in the last layer no other position asks for anything."""
        return self._read(x, present, x.shape[1] - 1)[:, 0]

    def _read(self, x: Tensor, present: Tensor, first: int) -> Tensor:
        """User vectors from position F on, (B, L - F, D)."""
        length = x.shape[1]
        seen, angles = visible(present), rotary_angles(length, self.head_size, x.device)
        x = self.dropout(x)
        for depth, block in enumerate(self.blocks, 1):
            x = block(x, seen, angles, first if depth == len(self.blocks) else 0)
        norm: Tensor = self.norm(x[:, first - length :])
        return norm
