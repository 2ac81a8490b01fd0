"""What the attention of the towers shares: who sees whom, and positions as angles."""

import torch
from torch import Tensor
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


def attend(projected: Tensor, heads: int, seen: Tensor, angles: Tensor) -> Tensor:
    """Attend with rotary positions.

    :param projected: (B, L, 3 D), queries, keys and values side by side.
    :param heads: number of heads H.
    :param seen: from :func:`visible`.
    :param angles: of the width D / H.
    :returns: (B, L, D), the heads side by side.
    """
    batch, length, width = projected.shape
    query, key, value = projected.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(
        rotate(query, angles), rotate(key, angles), value, attn_mask=seen
    )
    return attended.transpose(1, 2).reshape(batch, length, width // 3)


def head_size(size: int, heads: int) -> int:
    """Give the width of one head.

    :raises ValueError: where it is no whole, even number.
    """
    if size % (2 * heads):
        raise ValueError(
            f"The width {size} cannot be divided among {heads} heads of even width: choose a "
            f"multiple of {2 * heads}."
        )
    return size // heads
