"""Rewards for users who stay and return, and shaping, which helps to learn them.

A potential Φ of states adds F = γ Φ(s') - Φ(s) to every step (Ng, Harada and Russell 1999, "Policy
invariance under reward transformations"). Along a session the terms cancel but for its ends, so
that no policy gains on another; learning is faster where Φ is near the value of a state. Policies
are judged by the reward without it.
"""

from abc import abstractmethod

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import PADDING, Key, RecipeError, Reward, RewardContext, UserModel, UserReward

DAY = 86_400.0


def after_step(
    users: UserModel, transition: TensorDictBase
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The histories (B, L + K) after the step, and as (B, 1): the slates shown, the items
    accepted, and whether one was from the last slate.

    A transition without ``step`` and ``accepted_total`` counts as the first of its session.
    """
    taken = Reward.taken(transition)
    accepted = taken.any(1, keepdim=True).float()
    zero = torch.zeros_like(accepted)
    step = transition.get(Key.STEP, zero.long()) + 1
    total = transition.get(Key.ACCEPTED_TOTAL, zero) + taken.sum(1, keepdim=True)
    nothing = users.num_items + 1 if users.records_nothing else PADDING
    return Reward.after(transition, nothing), step, total, accepted


def ending(users: UserModel, transition: TensorDictBase) -> Tensor:
    """The probabilities (B, 1) that sessions end after the step, fitted or assumed."""
    user = transition.get(Key.USER, None)
    return users.leave(*after_step(users, transition), user).unsqueeze(1)


class StayReward(UserReward):
    """The probability that the session continues after the step.

    Summed over a session it pays for length, whatever is in it: weigh it against the reward of a
    step. With an assumed leave rate it is a constant.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from 0 to 1."""
        return 1 - ending(self.users, transition)


class ReturnReward(UserReward):
    """The probability that the session ends after the step and the user returns soon.

    Its expected sum over a session is the probability of a return: the reward of retention (Cai et
    al. 2023), without its noise.

    :param days: how soon.
    """

    needs = "returning"

    def __init__(self, days: float = 7.0) -> None:
        super().__init__()
        self.days = days

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from 0 to 1."""
        history, step, total, _ = after_step(self.users, transition)
        assert self.users.returning is not None
        mean, deviation = self.users.returning(self.users.state(history), step, total)
        limit = torch.tensor(self.days * DAY, device=mean.device).log()
        soon = torch.special.ndtr((limit - mean) / deviation)
        return ending(self.users, transition) * soon.unsqueeze(1)


class ShapedReward(Reward):
    """A reward plus a potential's differences, in training only; subclasses give the potential.

    :param reward: the reward to shape, by which policies are judged.
    :param discount: the learner's γ, times the probability of staying; with any other the best
        policy may change. In a run the learner's own replaces it.
    :raises RecipeError: where the discount is out of range.
    """

    shaped = True
    nothing = PADDING
    """The item that enters the history where nothing was accepted."""

    def __init__(self, reward: Reward, discount: float = 1.0) -> None:
        super().__init__()
        if not 0 <= discount <= 1:
            raise RecipeError(f"The discount of shaping is {discount}; it lies between 0 and 1.")
        self.reward, self.discount = reward, discount
        self.users: UserModel | None = None
        """Says how sessions end, where that is fitted and not a part of the discount."""

    def bind(self, context: RewardContext) -> None:
        """Weigh the next state as the learner does."""
        super().bind(context)
        self.discount = context.discount
        self.users = context.users if context.fitted_ends else None

    @abstractmethod
    def potential(self, history: Tensor) -> Tensor:
        """Φ (B, 1) of the states after histories (B, any length), padded on the left."""

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1); where ``next`` says ``terminated``, Φ(s') is 0."""
        after = self.potential(self.after(transition, self.nothing))
        if (ended := transition.get(("next", "terminated"), None)) is not None:
            after = torch.where(ended, 0, after)
        elif self.users is not None:
            after = after * (1 - ending(self.users, transition))
        before = self.potential(transition[Key.HISTORY])
        shaped: Tensor = self.reward(transition) + self.discount * after - before
        return shaped

    @property
    def judged(self) -> Reward:
        """The reward without its shaping."""
        return self.reward.judged


class ContinuationShaping(ShapedReward):
    """Shaped by the continuation value W(s) that the user model expects of later offers.

    Where the learned reward is maximised, W is the value of states itself. It is 0 where users are
    assumed not to look ahead.

    :param reward: the reward to shape, by which policies are judged.
    :param discount: see :class:`ShapedReward`.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the choice model."""
        super().bind(context)
        self.model = context.users.choice
        if self.model.records_nothing:
            self.nothing = self.model.num_items + 1

    def potential(self, history: Tensor) -> Tensor:
        """W (B, 1), in nats."""
        return self.model.continuation(self.model.state(history)).unsqueeze(1)
