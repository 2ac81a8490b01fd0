"""Rewards of the long run: that people stay in a session, and that they come back."""

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.keys import PADDING, Key
from lightrec.rewards.base import Reward, RewardContext

DAY = 86_400.0


class Endings(nn.Module):
    """How likely a session ends after a step: as it was fitted, or at the assumed leave rate.

    :param context: with the user model.
    """

    def __init__(self, context: RewardContext) -> None:
        super().__init__()
        self.users = context.users

    def after(self, transition: TensorDictBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The histories (B, L + K) after the step, and as (B, 1): the slates shown, how many items
        were accepted, and whether one was from the last slate.

        A transition that does not tell of its session is taken for the first of one.
        """
        nothing = self.users.num_items + 1 if self.users.records_nothing else PADDING
        taken = Reward.taken(transition)
        accepted = taken.any(1, keepdim=True).float()
        zero = torch.zeros_like(accepted)
        step = transition.get(Key.STEP, zero.long()) + 1
        total = transition.get(Key.ACCEPTED_TOTAL, zero) + taken.sum(1, keepdim=True)
        return Reward.after(transition, nothing), step, total, accepted

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Probabilities (B, 1)."""
        user = transition.get(Key.USER, None)
        return self.users.leave(*self.after(transition), user).unsqueeze(1)


class StayReward(Reward):
    """The probability that the session goes on after the step.

    Its sum over a session is about the number of steps that are still to come: it pays for length,
    whatever is in it. Weigh it against what a step is worth. Where the log could not tell how users
    leave, the leave rate is the assumed one, and the reward a constant.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the user model."""
        self.endings = Endings(context)

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from 0 to 1."""
        return 1 - self.endings(transition)


class ReturnReward(Reward):
    """The probability that the session ends after the step and the user is back soon.

    Summed over a session, whose steps are as many as users stay for, its expectation is the
    probability of a return: the reward of retention (Cai et al. 2023), without its noise.

    :param days: how soon.
    """

    def __init__(self, days: float = 7.0) -> None:
        super().__init__()
        self.days = days

    def bind(self, context: RewardContext) -> None:
        """Take the user model, which must know returns."""
        context.users_with("returning")
        self.endings = Endings(context)

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1), from 0 to 1."""
        history, step, total, _ = self.endings.after(transition)
        user = transition.get(Key.USER, None)
        mean, deviation = self.endings.users.return_(history, step, total, user)
        limit = torch.tensor(self.days * DAY, device=mean.device).log()
        back = torch.special.ndtr((limit - mean) / deviation)
        chance: Tensor = self.endings(transition) * back.unsqueeze(1)
        return chance
