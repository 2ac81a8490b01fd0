"""The reward of what an offer was worth to its user, the pleasure of choosing included."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext


class SurplusReward(Reward):
    """r(s, i) - log π(i) of an item accepted, -log π(nothing) where nothing was.

    This is the step reward whose discounted sum a soft-optimal user maximises (Ziebart et al.
    2008): the learned reward, and the expected charm of the moment that made the user choose as he
    did. For a myopic user it is log(1 + Σ exp r) whatever he chooses, the consumer surplus of the
    slate (Small and Rosen 1981): never negative, and growing with every item's reward.

    The learned reward alone misleads a policy wherever most offers are declined. An item accepted
    with probability below one half has a negative reward there, so that declining is worth more,
    and the policy learns to show what nobody takes.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.users = context.users

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), in nats."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        taken = self.taken(transition)
        log_p = self.users.choice.log_probabilities(history, slate)
        # Slots in slate order, nothing last.
        chosen = torch.cat([taken, ~taken.any(1, keepdim=True)], 1)
        surprise = torch.where(chosen, -log_p, 0).sum(1, keepdim=True)
        reward = self.users.reward(history, slate.clamp_min(1), transition.get(Key.USER, None))
        return torch.where(taken, reward, 0).sum(1, keepdim=True) + surprise
