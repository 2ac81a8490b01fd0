"""The plain reward of engagement."""

from tensordict import TensorDictBase
from torch import Tensor

from lightrec.rewards.base import Reward


class EngagementReward(Reward):
    """1 where an item was accepted, else 0.

    It counts whatever people do, also what they regret: maximised, it pays for bait.
    """

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): 1 for an accepted item, 0 for none."""
        return (self.clicked(transition) > 0).float()
