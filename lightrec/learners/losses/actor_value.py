"""Losses of a policy and of action values over candidates, one of which is shown: SAC and MPO.

Haarnoja et al. 2018, "Soft actor-critic algorithms and applications"; Christodoulou 2019, "Soft
actor-critic for discrete action settings"; Abdolmaleki et al. 2018, "Maximum a posteriori policy
optimisation" (ICLR). With finitely many candidates expectations over actions are sums, and need no
samples.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor, nn

from lightrec.learners.losses.base import CandidateLoss, logits_of, taken
from lightrec.nn.plackett_luce import expectation, log_probabilities, may_be_shown


class ActorValueLoss(CandidateLoss):
    """A loss of an actor and of networks of action values, which have target networks.

    :param actor_network: writes ``logits`` ``(B, C)``, minus infinity for columns that may not be
        shown; or a probabilistic actor whose law has ``logits``, such as Plackett–Luce with a mask.
    :param values: by name, write ``action_value`` ``(B, C)``.
    :param delay_actor: whether the actor has a target network, too.
    :param separate_losses: whether parameters that networks share learn from the actor only.
    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    """

    @dataclass
    class _AcceptedKeys(CandidateLoss._AcceptedKeys):
        logits: NestedKey = "logits"
        """(B, C), written by the actor."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys

    actor_network: TensorDictModule
    actor_network_params: TensorDictParams
    target_actor_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: TensorDictModule,
        values: Mapping[str, TensorDictModule],
        *,
        delay_actor: bool,
        separate_losses: bool,
        loss_function: str,
        reduction: str,
    ) -> None:
        super().__init__(loss_function, reduction)
        self.convert_to_functional(actor_network, "actor_network", create_target_params=delay_actor)
        shared = list(actor_network.parameters()) if separate_losses else None
        for name, network in values.items():
            self.convert_to_functional(
                network, name, create_target_params=True, compare_against=shared
            )
        self.value_names = tuple(values)

    def _networks_read(self) -> Iterable[TensorDictModule]:
        return self.actor_network, *(getattr(self, name) for name in self.value_names)

    def _log_of(self, number: float) -> Tensor:
        """Give the logarithm of a number, of the networks' type and on their device."""
        like = next(iter(self.parameters()), torch.zeros(()))
        return like.new_tensor(math.log(number))

    def _values(self, state: TensorDictBase, target: bool = False) -> list[Tensor]:
        """Give Q (B, C) of each network."""
        key = self.tensor_keys.action_value
        return [self._run(name, state, target).get(key) for name in self.value_names]

    def _logits(self, state: TensorDictBase, target: bool = False) -> Tensor:
        """Give the actor's logits (B, C)."""
        written = self._run("actor_network", state, target)
        return logits_of(self.actor_network, written, self.tensor_keys.logits)


def positive(**numbers: float) -> None:
    """Refuse numbers that are not above 0.

    :raises ValueError: where one is not.
    """
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} is {value}; it must be above 0.")


class CandidateSACLoss(ActorValueLoss):
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

    out_keys = ("loss_qvalue", "loss_actor", "loss_alpha", "alpha", "entropy")

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
        positive(alpha_init=alpha_init)
        values = {"qvalue_network": qvalue_network}
        if second_qvalue_network is not None:
            values["second_qvalue_network"] = second_qvalue_network
        super().__init__(
            actor_network,
            values,
            delay_actor=False,
            separate_losses=separate_losses,
            loss_function=loss_function,
            reduction=reduction,
        )
        self.target_entropy_weight = target_entropy_weight
        log_alpha = self._log_of(alpha_init)
        if fixed_alpha:
            self.register_buffer("log_alpha", log_alpha)
        else:
            self.log_alpha = nn.Parameter(log_alpha)

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

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """Give the soft value of next states (B,), 0 where nothing may be shown."""
        logits = self._logits(following)
        log_policy = log_probabilities(logits)
        lesser = torch.stack(self._values(following, target=True)).amin(0)
        soft = lesser - self.log_alpha.exp() * log_policy
        return expectation(log_policy.exp(), soft, may_be_shown(logits))


class CandidateMPOLoss(ActorValueLoss):
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
        positive(
            bound=bound,
            policy_bound=policy_bound,
            temperature_init=temperature_init,
            multiplier_init=multiplier_init,
            top=1 if top is None else top,
        )
        super().__init__(
            actor_network,
            {"qvalue_network": qvalue_network},
            delay_actor=True,
            separate_losses=separate_losses,
            loss_function=loss_function,
            reduction=reduction,
        )
        self.bound, self.policy_bound, self.top = bound, policy_bound, top
        self.log_temperature = nn.Parameter(self._log_of(temperature_init))
        self.log_multiplier = nn.Parameter(self._log_of(multiplier_init))

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give the four losses, η, α, KL(π̄ ‖ π), KL(q ‖ π̄) and the policy's entropy.

        :raises ValueError: where actions are slates of several.
        """
        (values,) = self._values(tensordict)
        predicted = taken(values, tensordict.get(self.tensor_keys.action))
        target = self._target(tensordict, self._next_value(tensordict.get("next")))
        losses = {"loss_qvalue": self._value_loss(tensordict, [predicted], target)}
        losses |= self._policy_losses(tensordict)
        return self._output(losses, tensordict)

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        prior, values, shown = self._targets(following)
        return expectation(prior.exp(), values, shown)

    def _targets(self, state: TensorDictBase) -> tuple[Tensor, Tensor, Tensor]:
        """Give log π̄, Q̄ and which columns may be shown, each (B, C)."""
        logits, (values,) = self._logits(state, target=True), self._values(state, target=True)
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
