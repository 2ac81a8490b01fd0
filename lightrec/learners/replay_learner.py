"""The base of what learns from a replay buffer: a loss around networks, and how its policy acts.

Each learner has the module's policy and critic, and perhaps further networks; the policy alone is
what is kept in the end. The learners themselves stand in :mod:`lightrec.learners.replay_learners`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn
from torchrl.objectives import LossModule, SoftUpdate

from lightrec.errors import RecipeError
from lightrec.learners.policy_losses import FEATURES, masked
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.epsilon_greedy import EpsilonSlates


class ActionValues(TensorDictModuleBase):
    """Writes Q of a state's columns: the critic's value of the state plus the policy's logits.

    The policy's order is that of Q. Written are ``action_value`` (..., C), minus infinity where a
    column may not be shown, and the critic's value everywhere if none may, the best column
    ``action`` (..., 1) and its ``chosen_action_value`` (..., 1).

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
        # A state in which nothing may be shown is worth what the critic says, whichever of these
        # a loss reads.
        none = best == -torch.inf
        state["action_value"], state["action"] = torch.where(none, level, values), column
        state["chosen_action_value"] = torch.where(none, level, best)
        return state


class ReplayLearner(nn.Module, ABC):
    """A loss around networks.

    :param policy: what is learned; its logits order the columns.
    :param critic: from a state's features to its value.
    :param others: what :meth:`networks` gave.
    :param slate_size: places K.
    :param discount: γ.
    :param tau: share by which target networks move after an update.
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
        tau: float,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # In a tuple, which hides it: the module has it already.
        self._policy = (policy,)
        self.slate_size, self.discount = slate_size, discount
        try:
            self.loss = self.make_loss(policy, critic, others, **settings)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{type(self).__name__} cannot be built with loss_settings {dict(settings)}: "
                f"{error}."
            ) from None
        self._targets = SoftUpdate(self.loss, tau=tau)

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
        law = self.policy.columns(state, self.slate_size)
        columns = law.sample()
        return columns, law.log_prob(columns)


def explore(
    policy: LearnedPolicy, state: TensorDictBase, slate_size: int, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Give the slates of highest score, or with probability ε any that may be shown.

    :returns: (B, K) columns and the exact logarithm of their probability (B,).
    """
    best = policy.columns(state, slate_size)
    law = EpsilonSlates(best.mode, best.allowed, epsilon)
    columns = law.sample()
    return columns, law.log_prob(columns)
