"""Losses from a log that somebody else's policy has left: nothing is played to correct mistakes.

Kostrikov, Nair and Levine 2022, "Offline reinforcement learning with implicit Q-learning" (ICLR);
Xin et al. 2020, "Self-supervised reinforcement learning for recommender systems" (SIGIR); Xin et
al. 2022, "Supervised advantage actor-critic for recommender systems" (WSDM). Where these sample
candidates, sums over all of them stand here.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import distance_loss

from lightrec.keys import Key
from lightrec.learners.losses.actor_value import Distance, ValueLoss, positive, stacked
from lightrec.learners.transitions import FEATURES
from lightrec.nn.plackett_luce import at, expectation, may_be_shown
from lightrec.policies.base import ScoredPolicy


def log_likelihood(actor: ScoredPolicy, batch: TensorDictBase) -> Tensor:
    """Give the logarithm of a policy's probability of the slates that were shown, ``(B,)``."""
    slate = batch[Key.ACTION]
    return actor.columns(batch, slate.shape[-1]).log_prob(slate)


class LikelihoodLoss(nn.Module):
    """``loss_actor``, minus the mean log-likelihood of the slates shown, weighted or not.

    Without weights that is behavior cloning. Weighted with rewards its minimum is that of
    max E [Σ r log π(a | s)]; the reward of a transition is the discounted sum over its steps, so
    that ``n_step`` says how far a choice is credited with what came after it. A negative reward
    drives the policy away from a slate without bound.

    :param actor: the policy.
    :param weighted: whether the likelihood is multiplied by the reward.
    """

    def __init__(self, actor: ScoredPolicy, *, weighted: bool = False) -> None:
        super().__init__()
        self.actor, self.weighted = actor, weighted

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give the loss, and the mean log-likelihood without weights."""
        likelihood = log_likelihood(self.actor, batch)
        weight = batch["next", "reward"].squeeze(-1) if self.weighted else 1.0
        return {
            "loss_actor": -(weight * likelihood).mean(),
            "log_likelihood": likelihood.detach().mean(),
        }


def expectile_loss(surplus: Tensor, expectile: float) -> Tensor:
    """Give E abs(τ - 1[u < 0]) u² of surpluses u, which an expectile τ makes least."""
    tilt = torch.where(surplus < 0, 1 - expectile, expectile)
    return (tilt * surplus.square()).mean()


def between_0_and_1(expectile: float) -> float:
    """Give an expectile back.

    :raises ValueError: where it is none.
    """
    if not 0 < expectile < 1:
        raise ValueError(f"expectile is {expectile}; it must lie between 0 and 1")
    return expectile


class CandidateIQLLoss(ValueLoss):
    """Implicit Q-learning: values of the best that the log shows, and a policy that leans to it.

    With Q̄ the lesser of the target networks:

    - ``loss_value``: E abs(τ - 1[u < 0]) u², u = Q̄(s, a) - V(s), an expectile over the log's a.
    - ``loss_qvalue``: for both networks, distance of Q(s, a) from r + γ (1 - terminated) V(s′).
    - ``loss_actor``: -E min(exp(β (Q̄(s, a) - V(s))), cap) log π(a | s).

    No column is valued but those that were shown. TorchRL's ``DiscreteIQLLoss`` replaces the
    parameters of its Q networks, which it multiplies, by uniform numbers. Hence this one.

    :param actor: the policy.
    :param networks: two networks, whose ``values(state)`` are Q ``(B, C)``; the lesser is believed.
    :param critic: V, from a state's features to its value.
    :param expectile: τ, .5 for the mean under the log's policy, towards 1 for the best shown.
    :param inverse_temperature: β.
    :param cap: the largest weight of a likelihood.
    :param discount: see :class:`~lightrec.learners.losses.actor_value.ValueLoss`, as
        ``loss_function``, which is that of Q.
    :raises ValueError: where the expectile is not between 0 and 1, or a number not positive.
    """

    def __init__(
        self,
        actor: ScoredPolicy,
        networks: Sequence[nn.Module],
        critic: nn.Module,
        *,
        expectile: float = 0.7,
        inverse_temperature: float = 10.0,
        cap: float = 100.0,
        discount: float = 0.99,
        loss_function: Distance = "l2",
    ) -> None:
        super().__init__(discount, loss_function)
        positive(inverse_temperature=inverse_temperature, cap=cap)
        self.actor, self.networks, self.critic = actor, nn.ModuleList(networks), critic
        self.targets = self._lagging(self.networks)
        self.expectile, self.cap = between_0_and_1(expectile), cap
        self.inverse_temperature = inverse_temperature

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give the three losses, and the means of the surplus Q̄ - V and of the weights."""
        with torch.no_grad():
            following = self.critic(batch["next"][FEATURES]).squeeze(-1)
            target = self._target(batch, following)
            known = self._taken(self.targets, batch).amin(0)
        surplus = known - self.critic(batch[FEATURES]).squeeze(-1)
        weight = (self.inverse_temperature * surplus.detach()).exp().clamp_max(self.cap)
        return {
            "loss_value": expectile_loss(surplus, self.expectile),
            "loss_qvalue": self._distance(self._taken(self.networks, batch), target),
            "loss_actor": -(weight * log_likelihood(self.actor, batch)).mean(),
            "surplus": surplus.detach().mean(),
            "weight": weight.mean(),
        }

    def _taken(self, networks: nn.ModuleList, batch: TensorDictBase) -> Tensor:
        """Give the networks' values of what was shown, ``(2, B)``."""
        values = stacked(networks, batch)
        return at(values, batch[Key.ACTION].expand(len(values), -1, -1)).squeeze(-1)


class SupervisedValueLoss(ValueLoss):
    """A policy learned by likelihood beside action values on its trunk: SNQN and SA2C.

    With a⁺ what was shown, n the number of negatives, a⁻ the other columns that might have been
    shown, of which the papers draw n evenly, and Q̂(s) = Q̄(s, argmax Q(s, ·)):

    - ``loss_qvalue``: distance of Q(s, a⁺) from r + γ (1 - terminated) Q̂(s′).
    - ``loss_negative``: n times the mean distance of Q(s, a⁻) from γ Q̂(s), as if showing them had
      brought nothing and left the user as he was.
    - ``loss_actor``: -E [w log π(a⁺ | s)]. In SNQN w is 1, and values work on the policy by the
      trunk alone. In SA2C w is the advantage Q(s, a⁺) - (Q(s, a⁺) + n mean Q(s, a⁻)) / (1 + n),
      a constant, once ``warm_up`` updates are over. Unlike in the paper, whose logs hold nothing
      but what people took, a negative advantage counts as 0: it would drive the policy away from
      what was shown without bound.

    :param actor: the policy.
    :param network: whose ``values(state)`` are Q ``(B, C)``.
    :param advantages: whether likelihoods are weighted by advantages.
    :param negatives: n.
    :param warm_up: updates before advantages weigh.
    :param discount: see :class:`~lightrec.learners.losses.actor_value.ValueLoss`, as
        ``loss_function``.
    :raises ValueError: where ``negatives`` is below 0, or 0 while advantages need them.
    """

    updates: Tensor

    def __init__(
        self,
        actor: ScoredPolicy,
        network: nn.Module,
        *,
        advantages: bool = False,
        negatives: float = 10.0,
        warm_up: int = 300,
        discount: float = 0.99,
        loss_function: Distance = "l2",
    ) -> None:
        super().__init__(discount, loss_function)
        if negatives < 0 or (advantages and not negatives):
            raise ValueError(f"negatives is {negatives}; advantages compare with some")
        self.actor = actor
        self.network: Any = network
        self.target = self._lagging(network)
        self.advantages, self.negatives, self.warm_up = advantages, negatives, warm_up
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give the three losses, and the mean advantage."""
        slate, values = batch[Key.ACTION], self.network.values(batch)
        shown = at(values, slate).squeeze(-1)
        others = may_be_shown(values).scatter(-1, slate, False)
        even = others / others.sum(-1, keepdim=True).clamp_min(1)
        with torch.no_grad():
            after = batch["next"]
            target = self._target(batch, self._best(after, self.network.values(after)))
            same = self.discount * self._best(batch, values).unsqueeze(-1).expand_as(values)
        distance = distance_loss(torch.where(others, values, same), same, self.loss_function)
        advantage = (shown - expectation(even, values, others)).detach()
        advantage = advantage * self.negatives / (1 + self.negatives)
        weigh = self.advantages & (self.updates >= self.warm_up)
        weight = torch.where(weigh, advantage.clamp_min(0), 1.0)
        return {
            "loss_qvalue": self._distance(shown, target),
            "loss_negative": self.negatives * expectation(even, distance, others).mean(),
            "loss_actor": -(weight * log_likelihood(self.actor, batch)).mean(),
            "advantage": advantage.mean(),
        }

    @torch.no_grad()
    def follow_up(self, tau: float) -> None:
        """Move the target network to the learned one by a share τ, and count the update."""
        super().follow_up(tau)
        self.updates += 1

    def _best(self, state: TensorDictBase, values: Tensor) -> Tensor:
        """Give what the target network thinks of the column of highest value, (B,)."""
        return at(self.target.values(state), values.argmax(-1, keepdim=True)).squeeze(-1)
