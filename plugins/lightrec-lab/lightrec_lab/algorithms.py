"""Learners of policies from a replay buffer, beside lightrec's PPO and SlateQ on policy."""

from typing import Any

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import nn
from torchrl.objectives import DQNLoss, LossModule, SoftUpdate, ValueEstimators

from lightrec.api import FEATURES, Key, LearnedPolicy
from lightrec.learners.algorithms import Learner
from lightrec.learners.losses import positive
from lightrec.nn.plackett_luce import PlackettLuce, may_be_shown
from lightrec.policies.epsilon_greedy import EpsilonSlates


class ChosenValues(TensorDictModuleBase):
    """Q of a state's columns: the critic's value of the state plus the policy's logits.

    The policy's order is that of Q. Written are ``action_value`` (..., C), minus infinity where a
    column may not be shown, and the critic's value everywhere if none may, the best column
    ``action`` (..., 1), and the state's own value as ``chosen_action_value`` (..., 1): that of the
    best column, or the soft value τ log Σ exp(Q / τ).

    :param policy: whose logits, times the temperature, are advantages.
    :param critic: from features to the value of a state.
    :param temperature: τ, so that the policy's law is the soft-optimal one; None for hard values.
    """

    def __init__(
        self, policy: LearnedPolicy, critic: nn.Module, temperature: float | None = None
    ) -> None:
        super().__init__()
        self.policy, self.critic, self.temperature = policy, critic, temperature
        self.in_keys = [*policy.reads, FEATURES]
        self.out_keys = ["action_value", "action", "chosen_action_value"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add the three."""
        level, scale = self.critic(state[FEATURES]), self.temperature or 1.0
        values, mask = level + scale * self.policy.logits(state), state.get(Key.MASK, None)
        if mask is not None:
            values = torch.where(mask, values, -torch.inf)
        best, column = values.max(-1, keepdim=True)
        # A state in which nothing may be shown is worth what the critic says, whichever of these
        # a loss reads.
        none = best == -torch.inf
        if self.temperature is not None:
            # Without the best one, which may be minus infinity, sums of the rest are finite.
            above = ((values - torch.where(none, 0.0, best)) / scale).logsumexp(-1, keepdim=True)
            best = best + scale * torch.where(none, 0.0, above)
        state["action_value"], state["action"] = torch.where(none, level, values), column
        state["chosen_action_value"] = torch.where(none, level, best)
        return state


class Greedy(Learner):
    """Shows the best slate, or with probability ε any; its policy is no law itself."""

    def law(self, state: TensorDictBase, epsilon: float) -> PlackettLuce:
        """The mixture of the best slate and of all of them."""
        law = super().law(state, epsilon)
        return EpsilonSlates(law.mode, may_be_shown(law.logits), epsilon)


class DQN(Greedy):
    """Deep Q-learning over candidates (Mnih et al. 2015; dueling, Wang et al. 2016)."""

    values_single_items = True
    is_double = False
    """Whether the target values the column that the learned network prefers."""
    temperature: float | None = None
    """τ of soft values; None for hard ones."""

    def make_loss(self, **settings: Any) -> LossModule:
        """Build TorchRL's loss."""
        values = ChosenValues(self.policy, self.critic, self.temperature)
        chosen = {"loss_function": "smooth_l1", "action_space": "categorical", **settings}
        loss = DQNLoss(values, delay_value=True, double_dqn=self.is_double, **chosen)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=self.discount)
        self._targets = SoftUpdate(loss, tau=self.tau)
        return loss

    def follow_up(self) -> None:
        """Move the target network."""
        self._targets.step()


class DoubleDQN(DQN):
    """Its target values the column that the learned network prefers (van Hasselt et al. 2016)."""

    is_double = True


class SoftQ(DQN):
    """Soft Q-learning (Haarnoja et al. 2017): the policy's law is ∝ exp(Q / ``temperature``)."""

    law = Learner.law

    def make_loss(self, temperature: float = 0.1, **settings: Any) -> LossModule:
        """Build TorchRL's loss of Q-learning around soft values."""
        positive(temperature=temperature)
        self.temperature = temperature
        return super().make_loss(**settings)
