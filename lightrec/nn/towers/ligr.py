"""The transformer of LiGR layers: gates decide how much of each half joins the stream."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.nn.towers.attention import attend, head_size, rotary_angles, visible
from lightrec.nn.towers.base import UserTower


class SwiGLU(nn.Module):
    """A gated feed-forward network (Shazeer 2020): W3 (silu(W1 x) * W2 x), without biases.

    :param size: width D.
    :param inner: width of the inner layer.
    """

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.enter = nn.Linear(size, 2 * inner, bias=False)
        self.leave = nn.Linear(inner, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        gate, value = self.enter(x).chunk(2, dim=-1)
        return self.leave(functional.silu(gate) * value)


class LigrBlock(nn.Module):
    """One layer: x + σ(W x) * F(norm(x)), with F first attention, then SwiGLU.

    :param size: width D.
    :param heads: number of attention heads; must divide D into even widths.
    :param feedforward: width of the inner layer as a multiple of D.
    :param dropout: on what each half adds.
    """

    def __init__(self, size: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feedforward_norm = nn.RMSNorm(size), nn.RMSNorm(size)
        self.attention_in = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.attention_gate, self.feedforward_gate = nn.Linear(size, size), nn.Linear(size, size)
        self.feedforward = SwiGLU(size, feedforward * size)
        self.dropout = nn.Dropout(dropout)
        # As in the other transformer: the stack starts near the identity.
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(self.feedforward.leave.weight, std=0.02)

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D); ``seen`` is (B, 1, L, L) bool, query by key."""
        projected = self.attention_in(self.attention_norm(x))
        added = self.attention_out(attend(projected, self.heads, seen, angles))
        x = x + torch.sigmoid(self.attention_gate(x)) * self.dropout(added)
        added = self.feedforward(self.feedforward_norm(x))
        return x + torch.sigmoid(self.feedforward_gate(x)) * self.dropout(added)


class LigrTransformer(UserTower):
    """A stack of LiGR layers, as in eSASRec: pre-norm, gated residuals, SwiGLU.

    LiGR (From Features to Transformers, arXiv 2502.03417) gates what each half of a layer adds by a
    sigmoid of the stream itself; eSASRec puts such layers into SASRec. Unlike there, norms are
    root-mean-square and positions are rotary, so that more padding changes nothing.

    :param size: width D.
    :param layers: number of layers.
    :param heads: number of attention heads; D / heads must be a whole, even number.
    :param feedforward: width of the inner layers as a multiple of D.
    :param dropout: probability, on the input and on what each layer adds.
    :raises ValueError: where the heads do not fit the width.
    """

    def __init__(
        self, size: int, layers: int, heads: int, feedforward: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.head_size = head_size(size, heads)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            LigrBlock(size, heads, feedforward, dropout) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`~lightrec.nn.towers.base.UserTower.forward`."""
        seen, angles = visible(present), rotary_angles(x.shape[1], self.head_size, x.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, seen, angles)
        return self.norm(x)
