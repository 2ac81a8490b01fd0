"""The plain reward of engagement."""

from tensordict import TensorDictBase
from torch import Tensor

from lightrec.rewards.base import Reward


class EngagementReward(Reward):
    """How many items were accepted: of slates from which one is taken at most, 1 or 0.

    It counts whatever people do, also what they regret: maximised, it pays for bait.
    """

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): 1 for each accepted item, 0 for none."""
        return self.taken(transition).float().sum(1, keepdim=True)
