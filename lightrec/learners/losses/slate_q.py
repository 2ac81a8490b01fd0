"""SlateQ: values of slates by way of values of items, and a model of what users choose.

Ie et al. 2019, "SlateQ: a tractable decomposition for reinforcement learning with recommendation
sets" (IJCAI): users take at most one item of a slate, and what comes after depends on what was
taken only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor, nn
from torchrl.objectives import ValueEstimators

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
    default_value_estimator = ValueEstimators.TD0
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
