"""User towers beside the causal transformer: what a researcher compares with it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightrec.nn.towers import CausalTransformer, Layer, UserTower


class LigrBlock(Layer):
    """One layer: x + σ(W x) * F(norm(x)), F first attention, then SwiGLU.

    See :class:`~lightrec.nn.towers.Block`.
    """

    def __init__(self, size: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(size, heads, dropout)
        self.feedforward_norm = nn.RMSNorm(size)
        self.attention_gate, self.feedforward_gate = nn.Linear(size, size), nn.Linear(size, size)
        self.enter = nn.Linear(size, 2 * feedforward * size, bias=False)
        self.leave = nn.Linear(feedforward * size, size, bias=False)
        nn.init.normal_(self.attention_out.weight, std=0.02)
        nn.init.normal_(self.leave.weight, std=0.02)

    def forward(self, x: Tensor, seen: Tensor, angles: Tensor, first: int = 0) -> Tensor:
        """Map (B, L, D) to (B, L - F, D); see :meth:`~lightrec.nn.towers.Layer.attend`."""
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
    are those of :class:`~lightrec.nn.towers.CausalTransformer`.
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
        """Read sequences; see :meth:`~lightrec.nn.towers.UserTower.forward`."""
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
        """Read sequences; see :meth:`~lightrec.nn.towers.UserTower.forward`."""
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
