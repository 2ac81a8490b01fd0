"""Rewards of the long run: that people stay and come back, and shaping, which helps to learn them.

A potential Φ of states adds F = γ Φ(s') - Φ(s) to every step (Ng, Harada and Russell 1999, "Policy
invariance under reward transformations"). Along a session the terms cancel but for its ends, so
that no policy gains on another; learning is faster where Φ is near the value of a state. Policies
are judged by the reward without it.
"""

from abc import abstractmethod

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.errors import RecipeError
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


class ShapedReward(Reward):
    """A reward with a potential's differences added, in training only.

    Subclass it with a potential of your own.

    :param reward: what is shaped, and what policies are judged by.
    :param discount: γ with which the learner weighs the next step, the chance of staying included;
        with any other the best policy may change. The learner's own takes its place in a run.
    :raises RecipeError: where the discount is out of range.
    """

    nothing = PADDING
    """What enters the history where nothing was accepted."""

    def __init__(self, reward: Reward, discount: float = 1.0) -> None:
        super().__init__()
        if not 0 <= discount <= 1:
            raise RecipeError(f"The discount of shaping is {discount}; it lies between 0 and 1.")
        self.reward, self.discount = reward, discount
        self.endings: Endings | None = None
        """How likely a session ends, where that is learned and not part of the discount."""

    def bind(self, context: RewardContext) -> None:
        """Weigh the next state as the learner does."""
        super().bind(context)
        self.discount = context.discount
        self.endings = Endings(context) if context.fitted_ends else None

    @abstractmethod
    def potential(self, history: Tensor) -> Tensor:
        """Φ (B, 1) of the states after histories (B, any length), padded on the left."""

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1); where ``next`` says ``terminated``, Φ(s') is 0."""
        after = self.potential(self.after(transition, self.nothing))
        ended = ("next", "terminated")
        if ended in transition.keys(include_nested=True):
            after = torch.where(transition[ended], 0, after)
        elif self.endings is not None:
            after = after * (1 - self.endings(transition))
        before = self.potential(transition[Key.HISTORY])
        found: Tensor = self.reward(transition) + self.discount * after - before
        return found

    @property
    def judged(self) -> Reward:
        """The reward without its shaping."""
        return self.reward.judged


class ContinuationShaping(ShapedReward):
    """Shaped by what a user who looks ahead expects of all that is to come, W(s).

    W is the continuation value of the learned choice model: the potential that is the value of
    states itself, as far as users' own tastes are what is maximised. It is 0 everywhere where users
    were assumed not to look ahead.

    :param reward: what is shaped, and what policies are judged by.
    :param discount: see :class:`ShapedReward`.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the model of choices, next to what every shaping needs."""
        super().bind(context)
        self.model = context.users.choice
        if self.model.records_nothing:
            self.nothing = self.model.num_items + 1

    def potential(self, history: Tensor) -> Tensor:
        """W (B, 1), in nats."""
        return self.model.continuation(self.model.state(history)).unsqueeze(1)
