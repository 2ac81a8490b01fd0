"""Soft actor-critic over candidates, one of which is shown.

Haarnoja et al. 2018, "Soft actor-critic algorithms and applications"; Christodoulou 2019, "Soft
actor-critic for discrete action settings", whose expectations over actions are sums.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor, nn
from torchrl.objectives import ValueEstimators

from lightrec.learners.losses.base import CandidateLoss, logits_of, taken
from lightrec.nn.plackett_luce import expectation, log_probabilities, may_be_shown


class CandidateSACLoss(CandidateLoss):
    """Learns soft values and a policy, with as much entropy as the candidates on offer allow.

    - ``loss_qvalue``: for each network, distance of Q(s, a) from
      r + γ (1 - terminated) Σ π(j | s′) [min Q̄(s′, j) - α log π(j | s′)].
    - ``loss_actor``: E Σ π(j | s) [α log π(j | s) - min Q(s, j)].
    - ``loss_alpha``: log α · E [H(π(s)) - w log n(s)], n(s) being how many columns may be shown.

    TorchRL's ``DiscreteSACLoss`` has one target entropy for all states, whatever their number of
    candidates; makes 0 · -∞ = NaN where a network writes minus infinity; takes no actions of shape
    ``(B, 1)``; and replaces the parameters of a single Q network, which it multiplies, by uniform
    numbers, so that an encoder that was learned before is lost. Hence this one.

    :param actor_network: writes ``logits`` ``(B, C)``, minus infinity for columns that may not be
        shown; or a probabilistic actor whose law has ``logits``, such as Plackett–Luce with a mask.
    :param qvalue_network: writes ``action_value`` ``(B, C)``.
    :param second_qvalue_network: likewise; the lesser of both values is believed. None for one.
    :param alpha_init: α at the beginning, exp of ``log_alpha``.
    :param fixed_alpha: whether α stays as it is.
    :param target_entropy_weight: w, the share of the largest entropy possible that is aimed at.
    :param separate_losses: whether parameters that networks share learn from the actor only.
    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    :raises ValueError: where ``alpha_init`` is not positive.
    """

    @dataclass
    class _AcceptedKeys(CandidateLoss._AcceptedKeys):
        logits: NestedKey = "logits"
        """(B, C), written by the actor."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    default_value_estimator = ValueEstimators.TD0
    out_keys = ("loss_qvalue", "loss_actor", "loss_alpha", "alpha", "entropy")

    actor_network: TensorDictModule
    actor_network_params: TensorDictParams
    target_actor_network_params: TensorDictParams
    second_qvalue_network: TensorDictModule
    second_qvalue_network_params: TensorDictParams
    target_second_qvalue_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: TensorDictModule,
        qvalue_network: TensorDictModule,
        second_qvalue_network: TensorDictModule | None = None,
        *,
        alpha_init: float = 1.0,
        fixed_alpha: bool = False,
        target_entropy_weight: float = 0.98,
        separate_losses: bool = False,
        loss_function: str = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(loss_function, reduction)
        if alpha_init <= 0:
            raise ValueError(f"alpha_init is {alpha_init}; it must be above 0.")
        self.target_entropy_weight = target_entropy_weight
        self.convert_to_functional(actor_network, "actor_network")
        shared = list(actor_network.parameters()) if separate_losses else None
        networks = {"qvalue_network": qvalue_network}
        if second_qvalue_network is not None:
            networks["second_qvalue_network"] = second_qvalue_network
        for name, network in networks.items():
            self.convert_to_functional(
                network, name, create_target_params=True, compare_against=shared
            )
        self.qvalue_names = tuple(networks)
        like = next(iter(self.parameters()), torch.zeros(()))
        log_alpha = like.new_tensor(math.log(alpha_init))
        if fixed_alpha:
            self.register_buffer("log_alpha", log_alpha)
        else:
            self.log_alpha = nn.Parameter(log_alpha)

    def _networks_read(self) -> Iterable[TensorDictModule]:
        return self.actor_network, *(getattr(self, name) for name in self.qvalue_names)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give the three losses, α and the policy's entropy.

        :raises ValueError: where actions are slates of several.
        """
        keys = self.tensor_keys
        action = tensordict.get(keys.action)
        values = self._values(tensordict)
        target = self._target(tensordict, self._next_value(tensordict.get("next")))
        predictions = [taken(each, action) for each in values]
        logits = self._logits(tensordict)
        shown, log_policy = may_be_shown(logits), log_probabilities(logits)
        alpha = self.log_alpha.detach().exp()
        lesser = torch.stack(values).detach().amin(0)
        soft = expectation(log_policy.exp(), alpha * log_policy - lesser, shown)
        entropy = -expectation(log_policy.exp(), log_policy, shown).detach()
        most = shown.sum(-1).clamp_min(1).log()
        excess = entropy - self.target_entropy_weight * most
        losses = {
            "loss_qvalue": self._value_loss(tensordict, predictions, target),
            "loss_actor": self._reduced(tensordict, soft),
            "loss_alpha": self._reduced(tensordict, self.log_alpha * excess),
            "alpha": alpha,
            "entropy": entropy.mean(),
        }
        return self._output(losses, tensordict)

    def _values(self, state: TensorDictBase, target: bool = False) -> list[Tensor]:
        """Give Q (B, C) of each network."""
        key = self.tensor_keys.action_value
        return [self._run(name, state, target).get(key) for name in self.qvalue_names]

    def _logits(self, state: TensorDictBase) -> Tensor:
        """Give the actor's logits (B, C)."""
        written = self._run("actor_network", state)
        return logits_of(self.actor_network, written, self.tensor_keys.logits)

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """Give the soft value of next states (B,), 0 where nothing may be shown."""
        logits = self._logits(following)
        log_policy = log_probabilities(logits)
        lesser = torch.stack(self._values(following, target=True)).amin(0)
        soft = lesser - self.log_alpha.exp() * log_policy
        return expectation(log_policy.exp(), soft, may_be_shown(logits))
