"""The reward that inverse reinforcement learning found in a log."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext


class LearnedReward(Reward):
    """What a person wants, by a choice model that knows how far they look ahead.

    Nats relative to nothing, which is worth 0. It is as good as the assumptions in the model:
    the discount, the leave rate and, in logs without impressions, how often nothing is chosen.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.users = context.users

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): r(s, i) of each accepted item, 0 for nothing."""
        # Padding has no utility: any item stands in for it and is masked afterwards.
        items, user = transition[Key.ACTION].clamp_min(1), transition.get(Key.USER, None)
        reward = self.users.reward(transition[Key.HISTORY], items, user)
        return torch.where(self.taken(transition), reward, 0.0).sum(1, keepdim=True)
