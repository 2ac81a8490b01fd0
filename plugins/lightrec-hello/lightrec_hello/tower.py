"""From a history to a user vector."""

from torch import Tensor, nn

from lightrec.api import UserTower


class HelloTower(UserTower):
    """The mean of the items so far, through a linear map.

    :param size: width D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """User vectors (B, L, D) after each item of (B, L, D); each reads none that comes later."""
        total = (x * present.unsqueeze(-1)).cumsum(1)
        count = present.cumsum(1).clamp_min(1).unsqueeze(-1)
        vectors: Tensor = self.out(total / count)
        return vectors
