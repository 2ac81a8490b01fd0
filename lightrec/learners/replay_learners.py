"""The learners from a replay buffer, by the name of their loss."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import DQNLoss, LossModule, ValueEstimators

from lightrec.errors import RecipeError
from lightrec.learners.losses import CandidateMPOLoss, CandidateSACLoss, SlateQLoss
from lightrec.learners.policy_losses import CLICKED_COLUMN, Logits, SlateValues
from lightrec.learners.replay_learner import ActionValues, ReplayLearner, explore
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy

ReplayLossName = Literal["dqn", "double-dqn", "sac", "slate-q", "mpo"]


class DQN(ReplayLearner):
    """Deep Q-learning over candidates, ε-greedy (Mnih et al. 2015; dueling, Wang et al. 2016)."""

    prefers_learned = False
    """Whether targets value the column that the learned network prefers."""

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build TorchRL's loss."""
        only_single(self.slate_size, "dqn")
        chosen = {"loss_function": "smooth_l1", **settings}
        loss = DQNLoss(
            ActionValues(policy, critic),
            double_dqn=self.prefers_learned,
            delay_value=True,
            action_space="categorical",
            **chosen,
        )
        loss.make_value_estimator(ValueEstimators.TD0, gamma=self.discount)
        return loss

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Show the best column, or with probability ε any."""
        return explore(self.policy, state, 1, epsilon)


class DoubleDQN(DQN):
    """Its target values the column that the learned network prefers (van Hasselt et al. 2016)."""

    prefers_learned = True


class SAC(ReplayLearner):
    """Soft actor-critic over candidates, with two networks of action values."""

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give two networks of action values."""
        return nn.ModuleDict(
            {name: fresh_values(policy, settings.critic_hidden) for name in ("first", "second")}
        )

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        only_single(self.slate_size, "sac")
        chosen = {"loss_function": "smooth_l1", "alpha_init": 0.1, **settings}
        loss = CandidateSACLoss(Logits(policy), others["first"], others["second"], **chosen)
        loss.make_value_estimator(gamma=self.discount)
        return loss


class MPO(ReplayLearner):
    """Maximum a posteriori policy optimization over candidates."""

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give a network of action values."""
        return nn.ModuleDict({"first": fresh_values(policy, settings.critic_hidden)})

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        only_single(self.slate_size, "mpo")
        chosen = {"loss_function": "smooth_l1", **settings}
        loss = CandidateMPOLoss(Logits(policy), others["first"], **chosen)
        loss.make_value_estimator(gamma=self.discount)
        return loss


class SlateQ(ReplayLearner):
    """SlateQ: values of single items, and a model of what is taken of a slate; ε-greedy."""

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, settings: Any) -> LearnedPolicy:
        """Give the policy of both."""
        return SlatePolicy.from_policies(policy, policy, slate_size, tuple(settings.critic_hidden))

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        assert isinstance(policy, SlatePolicy)
        chosen = {"loss_function": "smooth_l1", "slate_size": self.slate_size, **settings}
        choices = Logits(policy.choices, "choice_logits")
        loss = SlateQLoss(SlateValues(policy), choices, **chosen)
        loss.make_value_estimator(gamma=self.discount)
        loss.set_keys(clicked=CLICKED_COLUMN)
        return loss

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Show the best slate, or with probability ε any."""
        return explore(self.policy, state, self.slate_size, epsilon)


def fresh_values(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """Give a network of action values that begins as the policy does, but for random layers."""
    own = copy.deepcopy(policy)
    for module in own.modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight.any():
            module.reset_parameters()
    return ActionValues(own, SessionValue(policy.feature_size, hidden))


def only_single(slate_size: int, name: str) -> None:
    """Refuse slates.

    :raises RecipeError: where they have several places.
    """
    if slate_size > 1:
        raise RecipeError(
            f"The loss {name} values single items, and the slates have {slate_size} places. "
            "Take slate-q, or an on-policy loss."
        )


LEARNERS: dict[str, type[ReplayLearner]] = {
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "sac": SAC,
    "slate-q": SlateQ,
    "mpo": MPO,
}
"""Learners by the name of their loss."""
