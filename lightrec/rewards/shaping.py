"""Shaping: rewards that help to learn, and leave the best policy as it is.

A potential Φ of states adds F = γ Φ(s') - Φ(s) to every step (Ng, Harada and Russell 1999, "Policy
invariance under reward transformations"). Along a session the terms cancel but for its ends, so
that no policy gains on another; learning is faster where Φ is near the value of a state. Policies
are judged by the reward without it.
"""

from abc import abstractmethod

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.rewards.base import Reward, RewardContext
from lightrec.rewards.staying import Endings


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
