"""The tower without order beyond recency: a weighted mean of what was taken so far."""

import torch
from torch import Tensor, nn

from lightrec.nn.towers.base import UserTower


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

    def __init__(self, size: int, heads: int = 2, dropout: float = 0.0) -> None:
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
        """Read sequences; see :meth:`~lightrec.nn.towers.base.UserTower.forward`."""
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
