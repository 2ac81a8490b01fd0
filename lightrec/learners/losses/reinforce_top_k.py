"""REINFORCE with the top-K off-policy correction and a learned behavior policy.

Chen et al. 2019, "Top-K off-policy correction for a REINFORCE recommender system" (WSDM).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor
from torchrl.objectives import ReinforceLoss, ValueEstimators

from lightrec.learners.losses.base import logits_of, run
from lightrec.nn.plackett_luce import at, log_probabilities


def top_k_multiplier(log_probability: Tensor, top_k: int) -> Tensor:
    """Give λ_K(s, a) = K (1 - π(a | s))^(K - 1) (Chen et al. 2019, eq. 9).

    It is the derivative by π of the probability 1 - (1 - π)^K that a is among K draws: K for items
    that are hardly ever shown, and near 0 for items that are shown in any case.

    :param log_probability: log π, any shape.
    :param top_k: K.
    """
    return top_k * (-log_probability.expm1()).clamp_min(0) ** (top_k - 1)


class ReinforceTopKLoss(ReinforceLoss):
    """REINFORCE from logs of another policy's slates, of which each item counts by itself.

    ``loss_actor`` has the gradient of minus the sum over the items shown of

        min(π(a | s) / β(a | s), cap) · λ_K(s, a) · A · log π(a | s)

    whose first three factors are constants. π is the softmax of the actor's logits over the columns
    that may be shown, β the law of the policy that wrote the log: its logged log-probabilities, or
    a behavior network's softmax, learned by ``loss_behavior``, minus the mean log-likelihood of the
    items shown. What the actor wrote for the state is handed to the behavior network without its
    gradient, and parameters that both share learn from ``loss_actor`` only.

    A is read at ``advantage``, with ``value_target``, or made by the value estimator
    (``make_value_estimator``). ``loss_value``, target networks and ``functional=False`` are those
    of TorchRL's ``ReinforceLoss``.

    :param actor_network: writes ``logits`` ``(B, C)``, minus infinity for columns that may not be
        shown; or a probabilistic actor whose law has ``logits``, such as Plackett–Luce with a mask.
    :param critic_network: writes ``state_value`` ``(B, 1)``.
    :param behavior_network: writes ``behavior_logits`` ``(B, C)``, often from a state that the
        actor writes. None: log-probabilities are read at ``action_log_prob``.
    :param top_k: K, how many items the policy shows at once.
    :param cap: the largest π / β.
    :param delay_value: whether the critic has a target network.
    :param functional: whether parameters are taken out of the networks.
    :param loss_critic_type: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    :raises ValueError: where ``top_k`` or ``cap`` is out of range, or where the behavior network
        shares parameters with the actor and ``functional`` is False.
    """

    @dataclass
    class _AcceptedKeys(ReinforceLoss._AcceptedKeys):
        """Keys of the batch that ``set_keys`` can rename."""

        logits: NestedKey = "logits"
        """(B, C), written by the actor."""
        behavior_logits: NestedKey = "behavior_logits"
        """(B, C), written by the behavior network."""
        sample_log_prob: NestedKey = "action_log_prob"
        """(B, K): logarithm of the probability with which each item was shown; (B,) where K = 1."""
        advantage: NestedKey = "advantage"
        """(B, 1), or (B, K) where each item of a slate has its own."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    default_value_estimator = ValueEstimators.GAE

    behavior_network: TensorDictModule | None
    behavior_network_params: TensorDictParams | None
    target_behavior_network_params: TensorDictParams | None

    def __init__(
        self,
        actor_network: TensorDictModule,
        critic_network: TensorDictModule,
        behavior_network: TensorDictModule | None = None,
        *,
        top_k: int,
        cap: float = 10.0,
        delay_value: bool = False,
        functional: bool = True,
        loss_critic_type: str = "smooth_l1",
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            actor_network,
            critic_network,
            delay_value=delay_value,
            functional=functional,
            loss_critic_type=loss_critic_type,
            reduction=reduction,
        )
        if top_k < 1 or cap <= 0:
            raise ValueError(
                f"top_k is {top_k} and cap is {cap}; top_k must be 1 or more, cap > 0."
            )
        self.top_k, self.cap = top_k, cap
        if behavior_network is None or not functional:
            self.behavior_network = behavior_network
        else:
            self.convert_to_functional(
                behavior_network,
                "behavior_network",
                compare_against=list(actor_network.parameters()),
            )
        if behavior_network is not None and not functional:
            own = {id(parameter) for parameter in behavior_network.parameters()}
            if any(id(parameter) in own for parameter in actor_network.parameters()):
                raise ValueError(
                    "The behavior network shares parameters with the actor, which must not learn "
                    "from it. Give it a head that reads what the actor writes, or functional=True."
                )

    @property
    def out_keys(self) -> list[str]:
        """The keys of what :meth:`forward` gives."""
        learned = [] if self.behavior_network is None else ["loss_behavior"]
        return ["loss_actor", "loss_value", *learned, "ESS", "cap_fraction", "mean_ratio"]

    @out_keys.setter
    def out_keys(self, values: list[str]) -> None:
        pass

    def _set_in_keys(self) -> None:
        super()._set_in_keys()
        if self.behavior_network is None:
            self._in_keys.append(self.tensor_keys.sample_log_prob)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give the losses, and what the weights are worth.

        ``ESS`` is the effective sample size of the capped ratios as a share of the items shown,
        ``cap_fraction`` how many met the cap, ``mean_ratio`` the mean of π / β before it.

        :raises ValueError: where log-probabilities are not those of each item shown.
        """
        advantage = self._advantage(tensordict)
        slate = tensordict.get(self.tensor_keys.action)
        filled = slate >= 0
        state = self._run("actor_network", tensordict.clone(False))
        logits = logits_of(self.actor_network, state, self.tensor_keys.logits)
        log_policy = at(log_probabilities(logits), slate)
        log_behavior, losses = self._behavior(tensordict, state, slate)

        with torch.no_grad():
            ratio = (log_policy - log_behavior).exp()
            capped = ratio.clamp_max(self.cap) * filled
            weight = capped * top_k_multiplier(log_policy, self.top_k) * advantage
        terms = torch.where(filled, -weight * log_policy, 0.0)
        losses["loss_actor"] = self._reduce_loss(terms.sum(-1), tensordict)
        value, _ = self.loss_critic(tensordict)
        losses["loss_value"] = self._reduce_loss(value.squeeze(-1), tensordict)
        if self.reduction != "none":
            losses.update(_worth(ratio, capped, filled, self.cap))
        return TensorDict(losses, tensordict.batch_size if self.reduction == "none" else [])

    def _advantage(self, batch: TensorDictBase) -> Tensor:
        if batch.get(self.tensor_keys.advantage, None) is None:
            self.value_estimator(
                batch,
                params=self.critic_network_params.detach() if self.functional else None,
                target_params=self.target_critic_network_params if self.functional else None,
            )
        return batch.get(self.tensor_keys.advantage).detach()

    def _run(self, name: str, state: TensorDictBase) -> TensorDictBase:
        network = getattr(self, name)
        if not self.functional:
            return run(network, state)
        with getattr(self, f"{name}_params").to_module(network, preserve_module_state=False):
            return run(network, state)

    def _behavior(
        self, batch: TensorDictBase, state: TensorDictBase, slate: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give log β (B, K) of the items shown, and the loss of the network that learned it."""
        if self.behavior_network is None:
            logged = batch.get(self.tensor_keys.sample_log_prob)
            if logged.shape == slate.shape[:-1] and slate.shape[-1] == 1:
                logged = logged.unsqueeze(-1)
            if logged.shape != slate.shape:
                raise ValueError(
                    f"{self.tensor_keys.sample_log_prob!r} has shape {tuple(logged.shape)}, the "
                    f"slates have {tuple(slate.shape)}. Each item's own log-probability is needed, "
                    "or a behavior network: that of a whole slate says nothing of its items."
                )
            return logged, {}
        read = self._run("behavior_network", state.detach())
        logits = logits_of(self.behavior_network, read, self.tensor_keys.behavior_logits)
        log_behavior = at(log_probabilities(logits), slate)
        filled = slate >= 0
        shown = torch.where(filled, log_behavior, 0.0).sum(-1) / filled.sum(-1).clamp_min(1)
        return log_behavior.detach(), {"loss_behavior": self._reduce_loss(-shown, batch)}


def _worth(ratio: Tensor, capped: Tensor, filled: Tensor, cap: float) -> Mapping[str, Tensor]:
    """Tell how many items the weights leave, and how many the cap changed."""
    count = filled.sum().clamp_min(1)
    square = capped.square().sum().clamp_min(torch.finfo(capped.dtype).tiny)
    return {
        "ESS": capped.sum().square() / square / count,
        "cap_fraction": ((ratio > cap) & filled).sum() / count,
        "mean_ratio": torch.where(filled, ratio, 0.0).sum() / count,
    }
