"""SlateQ on policy: values of items under the policy that shows them, from returns as they came.

Ie et al. 2019, "SlateQ: a tractable decomposition for reinforcement learning with recommendation
sets" (IJCAI), which decomposes the values of the policy that plays as it does those of the best
one. Returns that look many steps ahead take the place of the paper's single step.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams, dispatch
from tensordict.utils import NestedKey
from torch import Tensor
from torchrl.objectives import distance_loss

from lightrec.learners.losses.slate_q import SlateQLoss


class SlateSarsaLoss(SlateQLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, the law of choice, and V(s).

    Values are those of the policy that played: ``loss_qvalue`` is the distance of Q(s, i), i being
    what was taken of the slate or nothing, from ``value_target``, an estimate of the return such as
    TD(λ); ``loss_value`` that of V(s), which such estimates need. ``loss_choice`` is that of
    :class:`~lightrec.learners.losses.slate_q.SlateQLoss`. There are no target networks: nothing
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

    @property
    def in_keys(self) -> list[NestedKey]:
        """The keys that a batch must have; nothing of next states is read."""
        if self._in_keys is None:
            keys = self.tensor_keys
            own = [keys.action, keys.clicked, keys.value_target]
            read = [key for network in self._networks_read() for key in network.in_keys]
            self._in_keys = list(dict.fromkeys([*own, *read]))
        return self._in_keys

    @in_keys.setter
    def in_keys(self, values: list[NestedKey]) -> None:
        self._in_keys = values

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
