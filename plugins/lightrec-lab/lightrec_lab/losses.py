"""Losses of policies over candidates that are compared with lightrec's own.

- SAC and MPO, of a policy and of action values, where one candidate is shown: Haarnoja et al. 2018,
  "Soft actor-critic algorithms and applications"; Christodoulou 2019, "Soft actor-critic for
  discrete action settings"; Abdolmaleki et al. 2018, "Maximum a posteriori policy optimisation"
  (ICLR). With finitely many candidates expectations over actions are sums, and need no samples.
- SlateQ off policy, values of slates by way of values of items: Ie et al. 2019, "SlateQ: a
  tractable decomposition for reinforcement learning with recommendation sets" (IJCAI).
- REINFORCE with the top-K correction, of a behavior policy that is learned: Chen et al. 2019,
  "Top-K off-policy correction for a REINFORCE recommender system" (WSDM).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from lightrec.keys import Key
from lightrec.learners.losses import Distance, SlateSarsaLoss, ValueLoss, positive, stacked
from lightrec.learners.transitions import FEATURES
from lightrec.nn.best_slate import best_slate
from lightrec.nn.plackett_luce import at, expectation, log_probabilities, may_be_shown
from lightrec.policies.base import ScoredPolicy
from lightrec.policies.slate import SlatePolicy


class CandidateSACLoss(ValueLoss):
    """Learns soft values and a policy, with as much entropy as the candidates on offer allow.

    - ``loss_qvalue``: for both networks, distance of Q(s, a) from
      r + γ (1 - terminated) Σ π(j | s′) [min Q̄(s′, j) - α log π(j | s′)].
    - ``loss_actor``: E Σ π(j | s) [α log π(j | s) - min Q(s, j)].
    - ``loss_alpha``: log α · E [H(π(s)) - w log n(s)], n(s) being how many columns may be shown.

    TorchRL's ``DiscreteSACLoss`` has one target entropy for all states, whatever their number of
    candidates; makes 0 · -∞ = NaN where a network writes minus infinity; and replaces the
    parameters of a single Q network, which it multiplies, by uniform numbers. Hence this one.

    :param actor: the policy.
    :param networks: two networks, whose ``values(state)`` are Q ``(B, C)``; the lesser is believed.
    :param alpha_init: α at the beginning, exp of ``log_alpha``.
    :param fixed_alpha: whether α stays as it is.
    :param target_entropy_weight: w, the share of the largest entropy possible that is aimed at.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    :raises ValueError: where ``alpha_init`` is not positive.
    """

    def __init__(
        self,
        actor: ScoredPolicy,
        networks: Sequence[nn.Module],
        *,
        alpha_init: float = 0.1,
        fixed_alpha: bool = False,
        target_entropy_weight: float = 0.98,
        discount: float = 0.99,
        loss_function: Distance = "smooth_l1",
    ) -> None:
        super().__init__(discount, loss_function)
        positive(alpha_init=alpha_init)
        self.actor, self.networks = actor, nn.ModuleList(networks)
        self.targets = self._lagging(self.networks)
        self.target_entropy_weight = target_entropy_weight
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha_init)), not fixed_alpha)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The three losses, α and the policy's entropy."""
        values = stacked(self.networks, batch)
        target = self._target(batch, self._next_value(batch["next"]))
        logits = self.actor.columns(batch).logits
        shown, log_policy = may_be_shown(logits), log_probabilities(logits)
        alpha = self.log_alpha.detach().exp()
        soft = expectation(log_policy.exp(), alpha * log_policy - values.detach().amin(0), shown)
        entropy = -expectation(log_policy.exp(), log_policy, shown).detach()
        excess = entropy - self.target_entropy_weight * shown.sum(-1).clamp_min(1).log()
        predicted = at(values, batch[Key.ACTION].expand(len(values), -1, -1)).squeeze(-1)
        return {
            "loss_qvalue": self._distance(predicted, target),
            "loss_actor": soft.mean(),
            "loss_alpha": (self.log_alpha * excess).mean(),
            "alpha": alpha,
            "entropy": entropy.mean(),
        }

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        logits = self.actor.columns(following).logits
        log_policy = log_probabilities(logits)
        lesser = stacked(self.targets, following).amin(0)
        soft = lesser - self.log_alpha.exp() * log_policy
        return expectation(log_policy.exp(), soft, may_be_shown(logits))


class CandidateMPOLoss(ValueLoss):
    """Learns Q under the policy, and moves the policy towards π̄ · exp(Q / η) by bounded steps.

    With π̄ and Q̄ the target networks, and sums over the columns that may be shown:

    - ``loss_qvalue``: distance of Q(s, a) from r + γ (1 - terminated) Σ π̄(j | s′) Q̄(s′, j).
    - E-step: q(j | s) ∝ π̄(j | s) exp(Q̄(s, j) / η). ``loss_temperature`` is the dual of the bound
      E KL(q ‖ π̄) ≤ ε: η ε + η E log Σ π̄(j | s) exp(Q̄(s, j) / η).
    - M-step: ``loss_actor`` is E [-Σ q log π + α KL(π̄ ‖ π)], with α a constant;
      ``loss_multiplier`` is α (ε_KL - E KL(π̄ ‖ π)), with the divergence a constant: the Lagrangian
      of the bound E KL(π̄ ‖ π) ≤ ε_KL.

    η and α are exp of ``log_temperature`` and ``log_multiplier``, which are learned too.

    :param actor: the policy.
    :param network: whose ``values(state)`` are Q ``(B, C)``.
    :param bound: ε, nats that q may lie from the target policy.
    :param policy_bound: ε_KL, nats that the policy may lie from the target policy.
    :param temperature_init: η at the beginning.
    :param multiplier_init: α at the beginning.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    :raises ValueError: where a bound, the temperature or the multiplier is not positive.
    """

    def __init__(
        self,
        actor: ScoredPolicy,
        network: nn.Module,
        *,
        bound: float = 0.1,
        policy_bound: float = 0.01,
        temperature_init: float = 1.0,
        multiplier_init: float = 1.0,
        discount: float = 0.99,
        loss_function: Distance = "smooth_l1",
    ) -> None:
        super().__init__(discount, loss_function)
        self.bound, self.policy_bound = bound, policy_bound
        positive(bound=bound, policy_bound=policy_bound)
        positive(temperature_init=temperature_init, multiplier_init=multiplier_init)
        self.actor = actor
        self.network: Any = network
        self.target_actor, self.target_network = self._lagging(actor), self._lagging(network)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature_init)))
        self.log_multiplier = nn.Parameter(torch.tensor(math.log(multiplier_init)))

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The four losses, η, α, KL(π̄ ‖ π), KL(q ‖ π̄) and the policy's entropy."""
        predicted = at(self.network.values(batch), batch[Key.ACTION]).squeeze(-1)
        prior, values, shown = self._old(batch["next"])
        target = self._target(batch, expectation(prior.exp(), values, shown))
        prior, values, shown = self._old(batch)
        improved, dual = self._improve(prior, values, shown)
        log_policy = log_probabilities(self.actor.columns(batch).logits)
        cross = -expectation(improved, log_policy, shown)
        divergence = expectation(prior.exp(), prior - log_policy, shown)
        multiplier, policy = self.log_multiplier.exp(), log_policy.detach()
        to_target = expectation(improved, improved.clamp_min(1e-38).log() - prior, shown)
        return {
            "loss_qvalue": self._distance(predicted, target),
            "loss_actor": (cross + multiplier.detach() * divergence).mean(),
            "loss_temperature": dual.mean(),
            "loss_multiplier": (multiplier * (self.policy_bound - divergence.detach())).mean(),
            "temperature": self.log_temperature.detach().exp(),
            "multiplier": multiplier.detach(),
            "kl": divergence.detach().mean(),
            "kl_target": to_target.mean(),
            "entropy": -expectation(policy.exp(), policy, shown).mean(),
        }

    @torch.no_grad()
    def _old(self, state: TensorDictBase) -> tuple[Tensor, Tensor, Tensor]:
        """log π̄, Q̄ and which columns may be shown, each ``(B, C)``."""
        logits = self.target_actor.columns(state).logits
        return log_probabilities(logits), self.target_network.values(state), may_be_shown(logits)

    def _improve(self, prior: Tensor, values: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """q ``(B, C)`` without gradient, and the temperature's dual ``(B,)``."""
        temperature = self.log_temperature.exp()
        # Excluded values are taken out before the division, whose gradient would be NaN there.
        tilted = prior + torch.where(shown, values, 0.0) / temperature
        tilted = tilted.masked_fill(~shown, torch.finfo(prior.dtype).min / 4)
        total = torch.where(shown.any(-1), tilted.logsumexp(-1), 0.0)
        return tilted.detach().softmax(-1), temperature * (self.bound + total)


class SlateQLoss(SlateSarsaLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, and the law of choice.

    ``loss_qvalue`` is the distance of Q(s, i), i being what was taken of the slate or nothing, from

        r + γ (1 - terminated) Σ_{j in A′ or nothing} P(j | s′, A′) Q̄(s′, j)

    with Q̄ the target network and A′ the slate that makes the sum largest
    (:func:`~lightrec.nn.best_slate.best_slate`). ``loss_choice`` is minus the log-likelihood of
    what was taken under P(i | s, A) = exp(u_i) / (1 + Σ exp(u_j)), u being the scores of
    ``policy.choices``. The choice model has no target network: it is learned from what is seen, not
    from itself.

    :param policy: of values and choices, for slates of the size that it was made for.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    """

    def __init__(
        self, policy: SlatePolicy, *, discount: float = 0.99, loss_function: Distance = "smooth_l1"
    ) -> None:
        ValueLoss.__init__(self, discount, loss_function)
        self.policy = policy
        self.target_policy = self._lagging(policy)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """``loss_qvalue`` and ``loss_choice``, with the means of predictions and targets."""
        return self._losses(batch, self._target(batch, self._next_value(batch["next"])))

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """The value of the best slate of next states ``(B,)``."""
        values, nothing = self.target_policy.action_values(following)
        choice = self.policy.choices.logits(following)
        best = best_slate(values, choice, nothing, self.policy.slate_size)
        shown = (may_be_shown(values) & may_be_shown(choice)).any(-1)
        return torch.where(shown, best.value, 0.0)


def top_k_multiplier(log_probability: Tensor, top_k: int) -> Tensor:
    """λ_K(s, a) = K (1 - π(a | s))^(K - 1) (Chen et al. 2019, eq. 9).

    It is the derivative by π of the probability 1 - (1 - π)^K that a is among K draws: K for items
    that are hardly ever shown, and near 0 for items that are shown in any case.

    :param log_probability: log π, any shape.
    :param top_k: K.
    """
    return top_k * (-log_probability.expm1()).clamp_min(0) ** (top_k - 1)


class ReinforceTopKLoss(nn.Module):
    """REINFORCE from slates that other policies showed, of which each item counts by itself.

    ``loss_actor`` has the gradient of minus the sum over the items shown of

        min(π(a | s) / β(a | s), cap) · λ_K(s, a) · A · log π(a | s)

    whose first three factors are constants. π is the softmax of the policy's logits over the
    columns that may be shown. β is that of the behavior policy, learned by ``loss_behavior``, minus
    the mean log-likelihood of the items shown. A is read at ``advantage``; ``loss_value`` is the
    distance of the critic's value from ``value_target``.

    :param actor: the policy.
    :param critic: from a state's features to its value.
    :param behavior: learns the law of what was shown.
    :param top_k: K, how many items the policy shows at once.
    :param cap: the largest π / β.
    :raises ValueError: where ``cap`` is not positive.
    """

    def __init__(
        self,
        actor: ScoredPolicy,
        critic: nn.Module,
        behavior: ScoredPolicy,
        *,
        top_k: int,
        cap: float = 10.0,
    ) -> None:
        super().__init__()
        positive(cap=cap)
        self.actor, self.critic, self.behavior = actor, critic, behavior
        self.top_k, self.cap = top_k, cap

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The losses, and what the weights are worth.

        ``ESS`` is the effective sample size of the capped ratios as a share of the items shown,
        ``cap_fraction`` how many met the cap, ``mean_ratio`` the mean of π / β before it.
        """
        filled = batch[Key.ACTION] >= 0
        log_policy = self._of_shown(self.actor, batch)
        log_behavior = self._of_shown(self.behavior, batch)
        likelihood = log_behavior.sum(-1) / filled.sum(-1).clamp_min(1)
        with torch.no_grad():
            ratio = (log_policy - log_behavior).exp() * filled
            capped = ratio.clamp_max(self.cap)
            weight = capped * top_k_multiplier(log_policy, self.top_k) * batch["advantage"]
            count = filled.sum().clamp_min(1)
            square = capped.square().sum().clamp_min(torch.finfo(capped.dtype).tiny)
        return {
            "loss_behavior": -likelihood.mean(),
            "loss_actor": -(weight * log_policy).sum(-1).mean(),
            "loss_value": smooth_l1_loss(self.critic(batch[FEATURES]), batch["value_target"]),
            "ESS": capped.sum().square() / square / count,
            "cap_fraction": (ratio > self.cap).sum() / count,
            "mean_ratio": ratio.sum() / count,
        }

    @staticmethod
    def _of_shown(policy: ScoredPolicy, batch: TensorDictBase) -> Tensor:
        """A policy's log-probability of each item shown, 0 in empty places, ``(B, K)``."""
        slate = batch[Key.ACTION]
        logs = at(log_probabilities(policy.columns(batch).logits), slate)
        return torch.where(slate >= 0, logs, 0.0)
