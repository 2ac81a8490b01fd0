"""Losses of policies over candidates that TorchRL does not have, or not for candidates.

A loss reads a batch of transitions, whose actions are columns of logits ``(B, C)``, and gives what
starts with ``loss``, to be stepped on, next to diagnostics.

- From a log that somebody else's policy has left: Kostrikov, Nair and Levine 2022, "Offline
  reinforcement learning with implicit Q-learning" (ICLR). Where it samples candidates, sums over
  all of them stand here.
- Of slates, by values of items and a model of what users choose: Ie et al. 2019, "SlateQ: a
  tractable decomposition for reinforcement learning with recommendation sets" (IJCAI). Users take
  at most one item of a slate, and what comes after depends on what was taken only.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import distance_loss

from lightrec.keys import Key
from lightrec.learners.transitions import CLICKED_COLUMN, FEATURES, STEPS_AHEAD
from lightrec.nn.plackett_luce import at
from lightrec.policies.base import ScoredPolicy
from lightrec.policies.slate import SlatePolicy

Distance = Literal["l2", "l1", "smooth_l1"]


class ValueLoss(nn.Module):
    """A loss that learns values from transitions, with target networks that lag behind.

    Sessions that were cut (``done`` and not ``terminated``) are bootstrapped, those that ended are
    not. A next state in which nothing may be shown is worth 0.

    :param discount: γ.
    :param loss_function: distance of values from their targets.
    :raises ValueError: where there is no such distance.
    """

    def __init__(self, discount: float, loss_function: Distance) -> None:
        super().__init__()
        if loss_function not in get_args(Distance):
            raise ValueError(
                f"loss_function is {loss_function!r}; give one of {', '.join(get_args(Distance))}"
            )
        self.discount, self.loss_function = discount, loss_function
        self._pairs: list[tuple[nn.Module, nn.Module]] = []

    def _lagging(self, network: Any) -> Any:
        """The target network of a network."""
        target = copy.deepcopy(network).requires_grad_(False)
        self._pairs.append((target, network))
        return target

    @torch.no_grad()
    def follow_up(self, tau: float) -> None:
        """Move the target networks to the learned ones by a share τ."""
        for target, network in self._pairs:
            for slow, quick in zip(target.parameters(), network.parameters(), strict=True):
                slow.lerp_(quick, tau)

    def _target(self, batch: TensorDictBase, following: Tensor) -> Tensor:
        """r + γⁿ (1 - terminated) V(s′), n being the steps from s to s′, ``(B,)``.

        :param following: ``(B,)`` V(s′).
        """
        after = batch["next"]
        goes_on = self.discount ** batch.get(STEPS_AHEAD, 1) * ~after["terminated"]
        target: Tensor = after["reward"] + goes_on * following.unsqueeze(-1)
        return target.squeeze(-1)

    def _distance(self, values: Tensor, target: Tensor) -> Tensor:
        """The mean distance of values ``(..., B)`` from a target ``(B,)``, summed over all."""
        distance: Tensor = distance_loss(values, target.expand_as(values), self.loss_function)
        return distance.mean(-1).sum()


def positive(**numbers: float) -> None:
    """Refuse numbers that are not above 0.

    :raises ValueError: where one is not.
    """
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} is {value}; it must be above 0")


def log_likelihood(actor: ScoredPolicy, batch: TensorDictBase) -> Tensor:
    """The logarithm of a policy's probability of the slates that were shown, ``(B,)``."""
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
        """The loss, and the mean log-likelihood without weights."""
        likelihood = log_likelihood(self.actor, batch)
        weight = batch["next", "reward"].squeeze(-1) if self.weighted else 1.0
        return {
            "loss_actor": -(weight * likelihood).mean(),
            "log_likelihood": likelihood.detach().mean(),
        }


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
    :param discount: see :class:`ValueLoss`, as ``loss_function``, which is that of Q.
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
        if not 0 < expectile < 1:
            raise ValueError(f"expectile is {expectile}; it must lie between 0 and 1")
        self.actor, self.networks, self.critic = actor, nn.ModuleList(networks), critic
        self.targets = self._lagging(self.networks)
        self.expectile, self.cap = expectile, cap
        self.inverse_temperature = inverse_temperature

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The three losses, and the means of the surplus Q̄ - V and of the weights."""
        with torch.no_grad():
            following = self.critic(batch["next"][FEATURES]).squeeze(-1)
            target = self._target(batch, following)
            taken = self._taken(self.targets, batch).amin(0)
        surplus = taken - self.critic(batch[FEATURES]).squeeze(-1)
        weight = (self.inverse_temperature * surplus.detach()).exp().clamp_max(self.cap)
        tilt = torch.where(surplus < 0, 1 - self.expectile, self.expectile)
        return {
            "loss_value": (tilt * surplus.square()).mean(),
            "loss_qvalue": self._distance(self._taken(self.networks, batch), target),
            "loss_actor": -(weight * log_likelihood(self.actor, batch)).mean(),
            "surplus": surplus.detach().mean(),
            "weight": weight.mean(),
        }

    def _taken(self, networks: Iterable[Any], batch: TensorDictBase) -> Tensor:
        """The networks' values of what was shown, ``(2, B)``."""
        values = torch.stack([network.values(batch) for network in networks])
        return at(values, batch[Key.ACTION].expand(len(values), -1, -1)).squeeze(-1)


class SlateSarsaLoss(ValueLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, the law of choice, and V(s).

    Values are those of the policy that played: ``loss_qvalue`` is the distance of Q(s, i), i being
    what was taken of the slate or nothing, from ``value_target``, an estimate of the return such as
    TD(λ), which looks many steps ahead in place of the paper's single step; ``loss_value`` that of
    V(s), which such estimates need. ``loss_choice`` is minus the log-likelihood of what was taken
    under P(i | s, A) = exp(u_i) / (1 + Σ exp(u_j)), u being the scores of ``policy.choices``. There
    are no target networks: nothing here is learned from itself.

    A policy that shows, mostly, the slates of largest value then improves on the one that played,
    and so on. Networks are run on what was played, so that columns may be the places of slates
    alone: a few scores a row in place of all items'.

    :param policy: of values and choices.
    :param critic: from a state's features to its value.
    :param loss_function: distance of values. Only ``l2`` aims at the mean of returns that scatter.
    """

    def __init__(
        self, policy: SlatePolicy, critic: nn.Module, *, loss_function: Distance = "l2"
    ) -> None:
        super().__init__(1.0, loss_function)
        self.policy, self.critic = policy, critic

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The three losses, with the means of predictions and targets."""
        target = batch["value_target"].squeeze(-1)
        value = self.critic(batch[FEATURES]).squeeze(-1)
        items, nothing = self.policy.action_values(batch)
        # Nothing, -1, stands before the columns.
        predicted = (
            torch.cat([nothing, items], -1).gather(-1, batch[CLICKED_COLUMN] + 1).squeeze(-1)
        )
        return {
            "loss_qvalue": self._distance(predicted, target),
            "loss_choice": self._choice_loss(batch),
            "loss_value": self._distance(value, target),
            "pred_value": predicted.detach().mean(),
            "target_value": target.mean(),
        }

    def _choice_loss(self, batch: TensorDictBase) -> Tensor:
        """Minus the mean log-likelihood of what was taken of the slates shown."""
        slate = batch[Key.ACTION]
        scores = at(self.policy.choices.logits(batch), slate).masked_fill(slate < 0, -torch.inf)
        options = torch.cat([torch.zeros_like(scores[..., :1]), scores], -1)
        place = (slate == batch[CLICKED_COLUMN]) & (slate >= 0)
        option = torch.where(place.any(-1), place.long().argmax(-1) + 1, 0).unsqueeze(-1)
        return (options.logsumexp(-1) - options.gather(-1, option).squeeze(-1)).mean()
