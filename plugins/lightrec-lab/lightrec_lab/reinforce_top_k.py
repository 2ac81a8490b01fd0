"""REINFORCE with the top-K off-policy correction, of a behavior policy learned or logged.

Chen et al. 2019, "Top-K off-policy correction for a REINFORCE recommender system" (WSDM).
"""

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from lightrec.keys import Key
from lightrec.learners.losses import positive
from lightrec.learners.transitions import FEATURES
from lightrec.nn.plackett_luce import at, log_probabilities
from lightrec.policies.base import ScoredPolicy
from lightrec_lab.actor_value import logits_of


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
    the mean log-likelihood of the items shown; or, without such a policy, it is what was logged at
    ``action_log_prob`` of single items, and is not learned. A is read at ``advantage``;
    ``loss_value`` is the distance of the critic's value from ``value_target``.

    :param actor: the policy.
    :param critic: from a state's features to its value.
    :param behavior: learns the law of what was shown; None takes the logged propensities.
    :param top_k: K, how many items the policy shows at once.
    :param cap: the largest π / β.
    :raises ValueError: where ``cap`` is not positive.
    """

    def __init__(
        self,
        actor: ScoredPolicy,
        critic: nn.Module,
        behavior: ScoredPolicy | None,
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
        if self.behavior is None:
            log_behavior, learned = batch[Key.LOG_PROBABILITY].unsqueeze(-1), {}
        else:
            log_behavior = self._of_shown(self.behavior, batch)
            likelihood = log_behavior.sum(-1) / filled.sum(-1).clamp_min(1)
            learned = {"loss_behavior": -likelihood.mean()}
        with torch.no_grad():
            ratio = (log_policy - log_behavior).exp() * filled
            capped = ratio.clamp_max(self.cap)
            weight = capped * top_k_multiplier(log_policy, self.top_k) * batch["advantage"]
            count = filled.sum().clamp_min(1)
            square = capped.square().sum().clamp_min(torch.finfo(capped.dtype).tiny)
        return {
            **learned,
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
        found = at(log_probabilities(logits_of(policy, batch)), slate)
        return torch.where(slate >= 0, found, 0.0)
