"""What a policy is to maximise."""

from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import Reward


class HelloReward(Reward):
    """1 for an accepted item; something is taken off for a slate that nobody wanted.

    :param cost: of a declined slate.
    """

    def __init__(self, cost: float = 0.1) -> None:
        super().__init__()
        self.cost = cost

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards ``(B, 1)``: 1, or minus the cost."""
        accepted = self.taken(transition).any(1, keepdim=True).float()
        return accepted - self.cost * (1 - accepted)
