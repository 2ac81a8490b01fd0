"""A user tower."""

import torch

from lightrec.nn.towers import UserTower


class Fading(UserTower):
    """Sums the items of a history, through a linear map.

    :param size: width D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(size, size)

    def forward(self, x, present):
        return self.out((x * present[..., None]).cumsum(dim=1))
