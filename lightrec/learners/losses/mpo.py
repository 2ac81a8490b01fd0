"""Maximum a posteriori policy optimisation over candidates, one of which is shown.

Abdolmaleki et al. 2018, "Maximum a posteriori policy optimisation" (ICLR). With finitely many
candidates both expectations, over q and over the next action, are sums and need no samples.
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


class CandidateMPOLoss(CandidateLoss):
    """Learns Q under the policy, and moves the policy towards π̄ · exp(Q / η) by bounded steps.

    With π̄ and Q̄ the target networks, and sums over the columns that may be shown:

    - ``loss_qvalue``: distance of Q(s, a) from r + γ (1 - terminated) Σ π̄(j | s′) Q̄(s′, j).
    - E-step: q(j | s) ∝ π̄(j | s) exp(Q̄(s, j) / η). ``loss_temperature`` is the dual of the bound
      E KL(q ‖ π̄) ≤ ε: η ε + η E log Σ π̄(j | s) exp(Q̄(s, j) / η).
    - M-step: ``loss_actor`` is E [-Σ q log π + α KL(π̄ ‖ π)], with α a constant;
      ``loss_multiplier`` is α (ε_KL - E KL(π̄ ‖ π)), with the divergence a constant: the Lagrangian
      of the bound E KL(π̄ ‖ π) ≤ ε_KL.

    Both target networks move by ``SoftUpdate`` or ``HardUpdate`` of TorchRL. η and α are exp of
    ``log_temperature`` and ``log_multiplier``, which the loss's optimizer must learn too.

    :param actor_network: writes ``logits`` ``(B, C)``, minus infinity for columns that may not be
        shown; or a probabilistic actor whose law has ``logits``, such as Plackett–Luce with a mask.
    :param qvalue_network: writes ``action_value`` ``(B, C)``.
    :param bound: ε, nats that q may lie from the target policy.
    :param policy_bound: ε_KL, nats that the policy may lie from the target policy.
    :param temperature_init: η at the beginning.
    :param multiplier_init: α at the beginning.
    :param top: the E-step looks only at this many columns, those of largest π̄, as if π̄ were 0
        elsewhere; None for all.
    :param separate_losses: whether parameters that both networks share learn from the actor only.
    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    :raises ValueError: where a bound, the temperature, the multiplier or ``top`` is not positive.
    """

    @dataclass
    class _AcceptedKeys(CandidateLoss._AcceptedKeys):
        logits: NestedKey = "logits"
        """(B, C), written by the actor."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    default_value_estimator = ValueEstimators.TD0
    out_keys = (
        "loss_qvalue",
        "loss_actor",
        "loss_temperature",
        "loss_multiplier",
        "temperature",
        "multiplier",
        "kl",
        "kl_target",
        "entropy",
    )

    actor_network: TensorDictModule
    actor_network_params: TensorDictParams
    target_actor_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: TensorDictModule,
        qvalue_network: TensorDictModule,
        *,
        bound: float = 0.1,
        policy_bound: float = 0.01,
        temperature_init: float = 1.0,
        multiplier_init: float = 1.0,
        top: int | None = None,
        separate_losses: bool = False,
        loss_function: str = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(loss_function, reduction)
        positive = {
            "bound": bound,
            "policy_bound": policy_bound,
            "temperature_init": temperature_init,
            "multiplier_init": multiplier_init,
            "top": 1 if top is None else top,
        }
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name} is {value}; it must be above 0.")
        self.bound, self.policy_bound, self.top = bound, policy_bound, top
        self.convert_to_functional(actor_network, "actor_network", create_target_params=True)
        shared = list(actor_network.parameters()) if separate_losses else None
        self.convert_to_functional(
            qvalue_network, "qvalue_network", create_target_params=True, compare_against=shared
        )
        like = next(iter(self.parameters()), torch.zeros(()))
        self.log_temperature = nn.Parameter(like.new_tensor(math.log(temperature_init)))
        self.log_multiplier = nn.Parameter(like.new_tensor(math.log(multiplier_init)))

    def _networks_read(self) -> Iterable[TensorDictModule]:
        return self.actor_network, self.qvalue_network

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give the four losses, η, α, KL(π̄ ‖ π), KL(q ‖ π̄) and the policy's entropy.

        :raises ValueError: where actions are slates of several.
        """
        keys = self.tensor_keys
        values = self._run("qvalue_network", tensordict).get(keys.action_value)
        predicted = taken(values, tensordict.get(keys.action))
        target = self._target(tensordict, self._next_value(tensordict.get("next")))
        losses = {"loss_qvalue": self._value_loss(tensordict, [predicted], target)}
        losses |= self._policy_losses(tensordict)
        return self._output(losses, tensordict)

    def _logits(self, state: TensorDictBase, target: bool = False) -> Tensor:
        """Give the actor's logits (B, C)."""
        written = self._run("actor_network", state, target)
        return logits_of(self.actor_network, written, self.tensor_keys.logits)

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        prior, values, shown = self._targets(following)
        return expectation(prior.exp(), values, shown)

    def _targets(self, state: TensorDictBase) -> tuple[Tensor, Tensor, Tensor]:
        """Give log π̄, Q̄ and which columns may be shown, each (B, C)."""
        keys = self.tensor_keys
        logits = self._logits(state, target=True)
        values = self._run("qvalue_network", state, target=True).get(keys.action_value)
        return log_probabilities(logits), values, may_be_shown(logits)

    def _policy_losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        with torch.no_grad():
            prior, values, shown = self._targets(batch)
        improved, dual = self._improve(prior, values, shown)
        log_policy = log_probabilities(self._logits(batch))
        cross = -expectation(improved, log_policy, shown)
        divergence = expectation(prior.exp(), prior - log_policy, shown)
        multiplier = self.log_multiplier.exp()
        violation = self.policy_bound - divergence.detach()
        policy = log_policy.detach()
        to_target = expectation(improved, improved.clamp_min(1e-38).log() - prior, shown)
        return {
            "loss_actor": self._reduced(batch, cross + multiplier.detach() * divergence),
            "loss_temperature": self._reduced(batch, dual),
            "loss_multiplier": self._reduced(batch, multiplier * violation),
            "temperature": self.log_temperature.detach().exp(),
            "multiplier": multiplier.detach(),
            "kl": divergence.detach().mean(),
            "kl_target": to_target.mean(),
            "entropy": -expectation(policy.exp(), policy, shown).mean(),
        }

    def _improve(self, prior: Tensor, values: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Give q (B, C) without gradient, and the temperature's dual (B,)."""
        considered = shown
        if self.top is not None and self.top < prior.shape[-1]:
            best = prior.topk(self.top, dim=-1).indices
            considered = shown & torch.zeros_like(shown).scatter_(-1, best, True)
        temperature = self.log_temperature.exp()
        # Excluded values are taken out before the division, whose gradient would be NaN there.
        tilted = prior + torch.where(considered, values, 0.0) / temperature
        tilted = tilted.masked_fill(~considered, torch.finfo(prior.dtype).min / 4)
        total = torch.where(considered.any(-1), tilted.logsumexp(-1), 0.0)
        return tilted.detach().softmax(-1), temperature * (self.bound + total)
