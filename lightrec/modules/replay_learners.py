"""What learns from a replay buffer: a loss around networks, and how its policy acts meanwhile.

Each learner has the module's policy and critic, and perhaps further networks; the policy alone is
what is kept in the end.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn
from torchrl.objectives import DQNLoss, LossModule, SoftUpdate, ValueEstimators

from lightrec.errors import RecipeError
from lightrec.modules.policy_losses import FEATURES, Logits, masked
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import SessionValue
from lightrec.objectives import CandidateMPOLoss, CandidateSACLoss, SlateQLoss
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy

CLICKED_COLUMN = "clicked_column"
"""Key of the column that was accepted (B, 1) int64, or EMPTY."""
ReplayLossName = Literal["dqn", "double-dqn", "sac", "slate-q", "mpo"]


class ActionValues(TensorDictModuleBase):
    """Writes Q of a state's columns: the critic's value of the state plus the policy's logits.

    The policy's order is that of Q. Written are ``action_value`` (..., C), minus infinity where a
    column may not be shown, the best column ``action`` (..., 1) and its
    ``chosen_action_value`` (..., 1).

    :param policy: whose logits are advantages.
    :param critic: from features to the value of a state.
    """

    def __init__(self, policy: LearnedPolicy, critic: nn.Module) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic
        self.in_keys = [*policy.reads, FEATURES]
        self.out_keys = ["action_value", "action", "chosen_action_value"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add the three."""
        level = self.critic(state[FEATURES])
        values = masked(state, level + self.policy.logits(state))
        best, column = values.max(-1, keepdim=True)
        state["action_value"], state["action"] = values, column
        # A state in which nothing may be shown is worth what the critic says.
        state["chosen_action_value"] = torch.where(best > -torch.inf, best, level)
        return state


class ReplayLearner(nn.Module, ABC):
    """A loss around networks.

    :param policy: what is learned; its logits order the columns.
    :param critic: from a state's features to its value.
    :param others: what :meth:`networks` gave.
    :param slate_size: places K.
    :param discount: γ.
    :param follow: share by which target networks move after an update.
    :param settings: of the loss.
    :raises RecipeError: where the loss has no such setting, or cannot do with slates of that size.
    """

    loss: LossModule

    def __init__(
        self,
        policy: LearnedPolicy,
        critic: SessionValue,
        others: nn.ModuleDict,
        *,
        slate_size: int,
        discount: float,
        follow: float,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # In a tuple, which hides it: the module has it already.
        self._policy = (policy,)
        self.slate_size, self.discount = slate_size, discount
        try:
            self.loss = self.make_loss(policy, critic, others, **settings)
        except TypeError as error:
            raise RecipeError(
                f"{type(self).__name__} cannot be built with loss_settings {dict(settings)}: "
                f"{error}."
            ) from None
        self._targets = SoftUpdate(self.loss, tau=follow)

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, settings: Any) -> LearnedPolicy:
        """Give the policy that is learned, made of the one that the data module gives."""
        return policy

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give the further networks that are learned.

        :param policy: an untrained one, of which copies may be made.
        :param settings: of the module.
        """
        return nn.ModuleDict()

    @abstractmethod
    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build the loss, its value estimator included."""

    @property
    def policy(self) -> LearnedPolicy:
        """What is learned."""
        return self._policy[0]

    def losses(self, batch: TensorDictBase) -> TensorDictBase:
        """Give what starts with ``loss``, to be stepped on, and what is looked at.

        :param batch: transitions (R,).
        """
        outcome: TensorDictBase = self.loss(batch)
        return outcome

    def follow_up(self) -> None:
        """Move the target networks."""
        self._targets.step()

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Choose columns (B, K) to be shown, and give the logarithm of their probability (B,)."""
        law = self.policy.distribution(state, self.slate_size)
        columns = law.sample()
        return columns, law.log_prob(columns)


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
        law = self.policy.distribution(state)
        return epsilon_greedy(law, epsilon)


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
        return epsilon_greedy(self.policy.distribution(state, self.slate_size), epsilon)


class SlateValues(TensorDictModuleBase):
    """Writes a slate policy's ``action_value`` (..., C) and ``null_value`` (..., 1).

    :param policy: whose values they are.
    """

    def __init__(self, policy: SlatePolicy) -> None:
        super().__init__()
        # Without the model of choices, which is another network of the loss.
        self.values: LearnedPolicy = policy.values
        self.level: SessionValue = policy.level
        self.nothing: SessionValue = policy.nothing
        self.in_keys = [*policy.reads, FEATURES]
        self.out_keys = ["action_value", "null_value"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add both."""
        features = state[FEATURES]
        values = masked(state, self.level(features) + self.values.logits(state))
        return state.update({"action_value": values, "null_value": self.nothing(features)})


def fresh_values(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """Give a network of action values that begins as the policy does, but for random layers."""
    own = copy.deepcopy(policy)
    for module in own.modules():
        learned = isinstance(module, nn.Linear) and module.weight.requires_grad
        if learned and module.weight.any():
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


def epsilon_greedy(law: PlackettLuce, epsilon: float) -> tuple[Tensor, Tensor]:
    """Give the slates of highest score, or with probability ε any that may be shown.

    :returns: (B, K) columns and the exact logarithm of their probability (B,).
    """
    even = PlackettLuce(torch.zeros_like(law.logits), law.allowed, law.slate_size)
    best, other = law.mode, even.sample()
    explore = torch.rand(len(best), 1, device=best.device) < epsilon
    columns = torch.where(explore, other, best)
    by_chance = epsilon * even.log_prob(columns).exp()
    probability = by_chance + (1 - epsilon) * (columns == best).all(1)
    return columns, probability.log()


LEARNERS: dict[str, type[ReplayLearner]] = {
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "sac": SAC,
    "slate-q": SlateQ,
    "mpo": MPO,
}
"""Learners by the name of their loss."""
