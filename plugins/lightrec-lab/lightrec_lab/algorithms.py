"""The learner of policies from a replay buffer, beside lightrec's PPO and SlateQ on policy."""

from collections.abc import Iterable
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.api import FEATURES, Key, LearnedPolicy
from lightrec.learners.algorithms import Learner
from lightrec.learners.losses import Distance, ValueLoss, positive
from lightrec.nn.plackett_luce import at, may_be_shown


class SoftQLoss(ValueLoss):
    """Learns soft values of single items, of which the policy's law is the best.

    ``loss`` is the distance of Q(s, a) from r + γⁿ (1 - terminated) V(s′), V being that of lagging
    networks. Q(s, j) is the critic's value of the state plus τ times the policy's logit of column
    j, and V(s) = τ log Σ exp(Q(s, j) / τ), so that the law is exp((Q - V) / τ). A state in which
    nothing may be shown is worth what the critic says.

    :param policy: whose logits, times the temperature, are advantages.
    :param critic: from features to the value of a state.
    :param temperature: τ.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    :raises ValueError: where the temperature is not positive.
    """

    def __init__(
        self,
        policy: LearnedPolicy,
        critic: nn.Module,
        *,
        temperature: float = 0.1,
        discount: float = 0.99,
        loss_function: Distance = "smooth_l1",
    ) -> None:
        super().__init__(discount, loss_function)
        positive(temperature=temperature)
        self.networks, self.temperature = nn.ModuleList([policy, critic]), temperature
        self.targets = self._lagging(self.networks)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The loss."""
        values, _ = self.values(self.networks, batch)
        with torch.no_grad():
            _, following = self.values(self.targets, batch["next"])
        target = self._target(batch, following)
        return {"loss": self._distance(at(values, batch[Key.ACTION]).squeeze(-1), target)}

    def values(self, networks: Iterable[Any], state: TensorDictBase) -> tuple[Tensor, Tensor]:
        """Q ``(B, C)`` of a state's columns, and V ``(B,)``.

        :param networks: policy and critic.
        """
        policy, critic = networks
        level, logits = critic(state[FEATURES]), policy.columns(state).logits
        some = may_be_shown(logits).any(-1, keepdim=True)
        advantages = torch.where(some, logits, 0.0)
        soft = torch.where(some, logits.logsumexp(-1, keepdim=True), 0.0)
        return level + self.temperature * advantages, (level + self.temperature * soft).squeeze(-1)


class SoftQ(Learner):
    """Soft Q-learning (Haarnoja et al. 2017): the policy's law is ∝ exp(Q / ``temperature``)."""

    values_single_items = True

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build the loss."""
        return SoftQLoss(self.policy, self.critic, discount=self.discount, **settings)
