"""The recurrent tower of GRU4Rec."""

import torch
from torch import Tensor, nn

from lightrec.nn.towers.base import UserTower


class GRU(UserTower):
    """Gated recurrent units over the history, then a linear map (GRU4Rec, Hidasi et al. 2016).

    :param size: width D, of the state too.
    :param layers: number of recurrent layers, 1 or more.
    :param dropout: probability, on the input and between layers.
    :raises ValueError: where there are no layers.
    """

    def __init__(self, size: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"A GRU cannot have {layers} layers: give 1 or more.")
        self.dropout = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.recurrent = nn.GRU(size, size, layers, batch_first=True, dropout=between)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences; see :meth:`~lightrec.nn.towers.base.UserTower.forward`."""
        # What is present comes first, so that padding is read after it and moves no state.
        order = (~present).to(torch.int8).argsort(dim=1, stable=True)
        ordered = x.gather(1, order[..., None].expand_as(x))
        states, _ = self.recurrent(self.dropout(ordered))
        back = order.argsort(dim=1)[..., None].expand_as(states)
        return self.out(states.gather(1, back))
