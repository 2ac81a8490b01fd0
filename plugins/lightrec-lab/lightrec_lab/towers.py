"""User towers beside the causal transformer: what a researcher compares with it."""

import torch
from torch import Tensor, nn

from lightrec.nn.towers import UserTower


class GRU(UserTower):
    """Gated recurrent units over the history, then a linear map (GRU4Rec, Hidasi et al. 2016).

    :param size: width D, of the state too.
    :param layers: number of recurrent layers, 1 or more, as torch demands.
    :param dropout: probability, on the input and between layers.
    """

    def __init__(self, size: int, layers: int = 2, dropout: float = 0.4) -> None:
        super().__init__()
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
            raise ValueError(f"The width {size} is no multiple of {heads} groups: choose one.")
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
