"""The causal transformer: pre-norm, rotary positions."""

from torch import Tensor, nn

from lightrec.nn.towers.attention import attend, head_size, rotary_angles, visible
from lightrec.nn.towers.base import UserTower


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

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, D); ``seen`` is (B, 1, L, L) bool, query by key."""
        projected = self.attention_in(self.attention_norm(x))
        attended = attend(projected, self.heads, seen, angles)
        x = x + self.dropout(self.attention_out(attended))
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

    def __init__(
        self, size: int, layers: int, heads: int, feedforward: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.head_size = head_size(size, heads)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(size, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.RMSNorm(size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`~lightrec.nn.towers.base.UserTower.forward`."""
        seen, angles = visible(present), rotary_angles(x.shape[1], self.head_size, x.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, seen, angles)
        return self.norm(x)
