"""SlateQ: values of slates by way of values of items, and a model of what users choose.

Ie et al. 2019, "SlateQ: a tractable decomposition for reinforcement learning with recommendation
sets" (IJCAI): users take at most one item of a slate, and what comes after depends on what was
taken only. Off policy, values are those of the best slates; on policy, those of the policy that
plays, from returns that look many steps ahead in place of the paper's single step.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor, nn
from torchrl.objectives import distance_loss

from lightrec.learners.losses.base import CandidateLoss
from lightrec.nn.best_slate import SlateMethod, best_slate
from lightrec.nn.plackett_luce import at, may_be_shown


class SlateQLoss(CandidateLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, and the law of choice.

    ``loss_qvalue`` is the distance of Q(s, i), i being what was taken of the slate or nothing, from

        r + γ (1 - terminated) Σ_{j in A′ or nothing} P(j | s′, A′) Q̄(s′, j)

    with Q̄ the target network and A′ the slate that makes the sum largest
    (:func:`~lightrec.nn.best_slate.best_slate`). ``loss_choice`` is minus the log-likelihood of
    what was taken under P(i | s, A) = exp(u_i + b_k) / (1 + Σ exp(u_j + b_k(j))), u being the
    choice network's scores and b an offset of the place. The choice model has no target network: it
    is learned from what is seen, not from itself.

    :param qvalue_network: writes ``action_value`` ``(B, C)`` and ``null_value`` ``(B, 1)``.
    :param choice_network: writes ``choice_logits`` ``(B, C)``.
    :param slate_size: places K of the slates that are looked for in next states.
    :param position_offsets: whether offsets of places are learned; the first is 0, because a number
        added to all of them could not be told from one added to all scores.
    :param method: how next slates are chosen: ``exact``, or the paper's cheaper ``top_k``.
    :param delay_value: whether there is a target network.
    :param separate_losses: whether parameters that both networks share learn values only.
    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    :raises ValueError: where ``method`` is no method.
    """

    @dataclass
    class _AcceptedKeys(CandidateLoss._AcceptedKeys):
        null_value: NestedKey = "null_value"
        """(B, 1), written by the Q network."""
        choice_logits: NestedKey = "choice_logits"
        """(B, C), written by the choice network."""
        clicked: NestedKey = "clicked_column"
        """(B, 1) int64: the column taken, one of the action's; -1 for nothing."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    out_keys: tuple[str, ...] = ("loss_qvalue", "loss_choice", "pred_value", "target_value")

    choice_network: TensorDictModule
    choice_network_params: TensorDictParams
    target_choice_network_params: TensorDictParams

    def __init__(
        self,
        qvalue_network: TensorDictModule,
        choice_network: TensorDictModule,
        *,
        slate_size: int,
        position_offsets: bool = False,
        method: SlateMethod = "exact",
        delay_value: bool = True,
        separate_losses: bool = False,
        loss_function: str = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(loss_function, reduction)
        if method not in get_args(SlateMethod):
            raise ValueError(f"method is {method!r}; it must be exact or top_k.")
        self.slate_size, self.method = slate_size, method
        self.convert_to_functional(
            qvalue_network, "qvalue_network", create_target_params=delay_value
        )
        shared = list(qvalue_network.parameters()) if separate_losses else None
        self.convert_to_functional(choice_network, "choice_network", compare_against=shared)
        self.later_offsets: nn.Parameter | None = None
        if position_offsets:
            like = next(iter(self.parameters()), torch.zeros(()))
            self.later_offsets = nn.Parameter(like.new_zeros(slate_size - 1))

    @property
    def offsets(self) -> Tensor | None:
        """The offsets of the places, ``(K,)``, the first being 0; None where there are none."""
        if self.later_offsets is None:
            return None
        return torch.cat([self.later_offsets.new_zeros(1), self.later_offsets])

    def _networks_read(self) -> Iterable[TensorDictModule]:
        return self.qvalue_network, self.choice_network

    def _more_keys(self) -> Iterable[NestedKey]:
        return (self.tensor_keys.clicked,)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give ``loss_qvalue`` and ``loss_choice``, with the means of predictions and targets.

        :raises ValueError: where what was taken was not shown.
        """
        return self._output(self._losses(tensordict), tensordict)

    def _losses(self, tensordict: TensorDictBase) -> dict[str, Tensor]:
        keys = self.tensor_keys
        clicked = tensordict.get(keys.clicked)
        state = self._run("qvalue_network", tensordict)
        # Nothing, -1, stands before the columns.
        values = torch.cat([state.get(keys.null_value), state.get(keys.action_value)], -1)
        predicted = values.gather(-1, clicked + 1).squeeze(-1)
        target = self._values_aimed_at(tensordict)
        return {
            "loss_qvalue": self._value_loss(tensordict, [predicted], target),
            "loss_choice": self._reduced(tensordict, self._choice_loss(tensordict, clicked)),
            "pred_value": predicted.detach().mean(),
            "target_value": target.mean(),
        }

    def _values_aimed_at(self, batch: TensorDictBase) -> Tensor:
        """Give the targets (B,) of the values of what was taken."""
        return self._target(batch, self._next_value(batch.get("next")))

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """Give the value of the best slate of next states (B,), 0 where nothing may be shown."""
        keys = self.tensor_keys
        valued = self._run("qvalue_network", following, target=True)
        values = valued.get(keys.action_value)
        choice = self._run("choice_network", following).get(keys.choice_logits)
        null = valued.get(keys.null_value)
        best = best_slate(values, choice, null, self.slate_size, self.offsets, self.method)
        shown = (may_be_shown(values) & may_be_shown(choice)).any(-1)
        return torch.where(shown, best.value, 0.0)

    def _choice_loss(self, batch: TensorDictBase, clicked: Tensor) -> Tensor:
        """Minus the log-likelihood (B,) of what was taken of the slates shown."""
        slate = batch.get(self.tensor_keys.action)
        place = slate == clicked
        took = clicked.squeeze(-1) >= 0
        if not torch.compiler.is_compiling() and not (place.any(-1) | ~took).all():
            raise ValueError(
                f"Something was taken that was not shown: {self.tensor_keys.clicked!r} must hold a "
                f"column of {self.tensor_keys.action!r} in the same row, or -1 for nothing."
            )
        logits = self._run("choice_network", batch).get(self.tensor_keys.choice_logits)
        scores = at(logits, slate)
        if self.offsets is not None:
            scores = scores + self.offsets[: slate.shape[-1]]
        scores = scores.masked_fill(slate < 0, -torch.inf)
        options = torch.cat([torch.zeros_like(scores[..., :1]), scores], -1)
        option = torch.where(took, place.long().argmax(-1) + 1, 0).unsqueeze(-1)
        return options.logsumexp(-1) - options.gather(-1, option).squeeze(-1)


class SlateSarsaLoss(SlateQLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, the law of choice, and V(s).

    Values are those of the policy that played: ``loss_qvalue`` is the distance of Q(s, i), i being
    what was taken of the slate or nothing, from ``value_target``, an estimate of the return such as
    TD(λ); ``loss_value`` that of V(s), which such estimates need. ``loss_choice`` is that of
    :class:`SlateQLoss`. There are no target networks: nothing
    here is learned from itself.

    A policy that shows, mostly, the slates of largest value then improves on the one that played,
    and so on. Networks are run on what was played, so that columns may be the places of slates
    alone: a few scores a row in place of all items'.

    :param qvalue_network: writes ``action_value`` ``(B, C)`` and ``null_value`` ``(B, 1)``.
    :param choice_network: writes ``choice_logits`` ``(B, C)``.
    :param critic_network: writes ``state_value`` ``(B, 1)``.
    :param slate_size: places K.
    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``. Only ``l2`` aims at the mean
        of returns that scatter.
    :param reduction: ``mean``, ``sum`` or ``none``.
    """

    @dataclass
    class _AcceptedKeys(SlateQLoss._AcceptedKeys):
        state_value: NestedKey = "state_value"
        """(B, 1), written by the critic."""
        value_target: NestedKey = "value_target"
        """(B, 1): the return, or an estimate of it."""

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    out_keys = ("loss_qvalue", "loss_choice", "loss_value", "pred_value", "target_value")

    critic_network: TensorDictModule
    critic_network_params: TensorDictParams
    target_critic_network_params: TensorDictParams

    def __init__(
        self,
        qvalue_network: TensorDictModule,
        choice_network: TensorDictModule,
        critic_network: TensorDictModule,
        *,
        slate_size: int,
        loss_function: str = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            qvalue_network,
            choice_network,
            slate_size=slate_size,
            delay_value=False,
            loss_function=loss_function,
            reduction=reduction,
        )
        self.convert_to_functional(critic_network, "critic_network")

    bootstraps = False

    def _more_keys(self) -> Iterable[NestedKey]:
        return *super()._more_keys(), self.tensor_keys.value_target

    def _networks_read(self) -> Iterable[TensorDictModule]:
        return *super()._networks_read(), self.critic_network

    def _values_aimed_at(self, batch: TensorDictBase) -> Tensor:
        target: Tensor = batch.get(self.tensor_keys.value_target).detach().squeeze(-1)
        return target

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Give the three losses, with the means of predictions and targets.

        :raises ValueError: where what was taken was not shown.
        """
        losses = self._losses(tensordict)
        value = self._run("critic_network", tensordict).get(self.tensor_keys.state_value)
        aimed_at = self._values_aimed_at(tensordict)
        distance = distance_loss(value.squeeze(-1), aimed_at, self.loss_function)
        losses["loss_value"] = self._reduced(tensordict, distance)
        return self._output(losses, tensordict)
