"""The causal transformer that reads histories: pre-norm, rotary positions, left padding masked.

Knows nothing of items or scores; those are in ``item_tower.py`` and ``ranker.py``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


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
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class Block(nn.Module):
    """One pre-norm layer: causal self-attention, then a feed-forward network.

    :param size: width D.
    :param heads: number of attention heads; must divide D into even widths.
    :param feedforward: width of the inner layer as a multiple of D.
    :param dropout: on what each half adds to the residual stream.
    """

    def __init__(self, size: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(size)
        self.attention_in = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        last = nn.Linear(feedforward * size, size)
        self.feedforward = nn.Sequential(
            nn.RMSNorm(size), nn.Linear(size, feedforward * size), nn.GELU(), last
        )
        self.dropout = nn.Dropout(dropout)
        # What a layer adds starts small, so that the stack starts near the identity.
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, visible: Tensor, angles: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D); ``visible`` is (B, 1, L, L) bool, query by key."""
        batch, length, _ = x.shape
        projected = self.attention_in(self.attention_norm(x))
        query, key, value = projected.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            rotate(query, angles), rotate(key, angles), value, attn_mask=visible
        )
        x = x + self.dropout(self.attention_out(attended.transpose(1, 2).reshape(x.shape)))
        return x + self.dropout(self.feedforward(x))


class CausalTransformer(nn.Module):
    """A stack of pre-norm causal layers over a left-padded sequence.

    A position's output depends only on itself and the unpadded positions before it, and positions
    enter through their differences alone, so that more padding changes nothing.

    :param size: width D.
    :param layers: number of layers; 0 gives the (normalised) input back.
    :param heads: number of attention heads; D / heads must be a whole, even number.
    :param feedforward: width of the inner layers as a multiple of D.
    :param dropout: probability, on the input and on what each layer adds.
    :raises ValueError: where the heads do not fit the width.
    """

    def __init__(
        self, size: int, layers: int, heads: int, feedforward: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if size % (2 * heads):
            raise ValueError(
                f"The width {size} cannot be divided among {heads} heads of even width: choose a "
                f"multiple of {2 * heads}."
            )
        self.head_size = size // heads
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(size, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.RMSNorm(size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences.

        :param x: (B, L, D) inputs.
        :param present: (B, L) bool, False at padding.
        :returns: (B, L, D); rows at padding are meaningless but finite.
        """
        length = x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=x.device)
        # Every position sees itself: a row without any key would be NaN.
        visible = ((causal & present[:, None, :]) | itself)[:, None]
        angles = rotary_angles(length, self.head_size, x.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, visible, angles)
        return self.norm(x)
