"""The loss of SAC, of a policy and of action values, where one candidate is shown.

Haarnoja et al. 2018, "Soft actor-critic algorithms and applications"; Christodoulou 2019, "Soft
actor-critic for discrete action settings". With finitely many candidates expectations over actions
are sums, and need no samples.
"""

import math
from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.api import Key, ScoredPolicy
from lightrec.learners.losses import Distance, ValueLoss, positive, stacked
from lightrec.nn.plackett_luce import at, expectation, log_probabilities, may_be_shown


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
