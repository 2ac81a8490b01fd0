"""What the losses of this package that learn values share: networks, discount, priorities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictParams
from tensordict.utils import NestedKey
from torch import Tensor
from torchrl.objectives import LossModule, ValueEstimators, distance_loss
from torchrl.objectives.utils import dispatch_value_estimator

from lightrec.nn.plackett_luce import at

DISTANCES = ("l2", "l1", "smooth_l1")
REDUCTIONS = ("mean", "sum", "none")


class CandidateLoss(LossModule):
    """A loss over transitions whose actions are columns, with the manners of TorchRL's losses.

    The discount is set as everywhere in TorchRL, ``loss.make_value_estimator(gamma=0.95)``, and is
    .99 where nobody sets it. Sessions that were cut (``done`` and not ``terminated``) are
    bootstrapped, those that ended are not. A next state in which nothing may be shown is worth 0.
    Every call writes the squared TD error ``td_error`` ``(B, 1)`` into the batch, for prioritised
    replay, and weighs by ``priority_weight`` ``(B,)`` where the batch has it.

    :param loss_function: of values: ``l2``, ``l1`` or ``smooth_l1``.
    :param reduction: ``mean``, ``sum`` or ``none``.
    :raises ValueError: where there is no such distance or reduction.
    """

    @dataclass
    class _AcceptedKeys:
        """Keys of the batch that ``set_keys`` can rename."""

        action: NestedKey = "action"
        """(B, K) int64 columns."""
        action_value: NestedKey = "action_value"
        """(B, C), written by value networks."""
        reward: NestedKey = "reward"
        """(B, 1), under ``next``."""
        done: NestedKey = "done"
        """(B, 1) bool, under ``next``: the session ended or was cut."""
        terminated: NestedKey = "terminated"
        """(B, 1) bool, under ``next``: the session ended."""
        priority: NestedKey = "td_error"
        priority_weight: NestedKey = "priority_weight"

    tensor_keys: _AcceptedKeys
    default_keys = _AcceptedKeys
    default_value_estimator = ValueEstimators.TD0
    SUPPORTED_VALUE_ESTIMATORS: ClassVar = (ValueEstimators.TD0,)

    bootstraps: ClassVar[bool] = True
    """Whether next states are valued."""

    qvalue_network: TensorDictModule
    qvalue_network_params: TensorDictParams
    target_qvalue_network_params: TensorDictParams

    def __init__(self, loss_function: str = "l2", reduction: str = "mean") -> None:
        super().__init__()
        if loss_function not in DISTANCES or reduction not in REDUCTIONS:
            raise ValueError(
                f"loss_function is {loss_function!r} and reduction is {reduction!r}; give one of "
                f"{', '.join(DISTANCES)}, and one of {', '.join(REDUCTIONS)}."
            )
        self._in_keys: list[NestedKey] | None = None
        self.loss_function = loss_function
        self.reduction = reduction

    def make_value_estimator(
        self, value_type: ValueEstimators | None = None, **hyperparams: float
    ) -> None:
        """Set the discount, ``gamma``.

        :param value_type: TD(0), the only one there is here.
        """
        keys = self.tensor_keys
        dispatch_value_estimator(
            self,
            value_type or self.default_value_estimator,
            supported=self.SUPPORTED_VALUE_ESTIMATORS,
            tensor_keys={
                "reward": keys.reward,
                "done": keys.done,
                "terminated": keys.terminated,
            },
            value_network=None,
            **hyperparams,
        )

    def _forward_value_estimator_keys(self, **kwargs: NestedKey) -> None:
        if self._value_estimator is not None:
            keys = self.tensor_keys
            self._value_estimator.set_keys(
                reward=keys.reward, done=keys.done, terminated=keys.terminated
            )
        self._in_keys = None

    def _networks_read(self) -> Iterable[TensorDictModule]:
        """Give the networks that are run on a state and on the next."""
        return (self.qvalue_network,)

    def _more_keys(self) -> Iterable[NestedKey]:
        """Give what else is read of a batch."""
        return ()

    @property
    def in_keys(self) -> list[NestedKey]:
        """The keys that a batch must have."""
        if self._in_keys is None:
            keys = self.tensor_keys
            read = [key for network in self._networks_read() for key in network.in_keys]
            following = [keys.reward, keys.done, keys.terminated, *read] if self.bootstraps else []
            every = [keys.action, *self._more_keys(), *read, *(("next", key) for key in following)]
            self._in_keys = list(dict.fromkeys(every))
        return self._in_keys

    @in_keys.setter
    def in_keys(self, values: list[NestedKey]) -> None:
        self._in_keys = values

    def _run(self, name: str, state: TensorDictBase, target: bool = False) -> TensorDictBase:
        """Run a network on a state.

        :param target: with the parameters that lag behind.
        :returns: a TensorDict of its own with the state and what was written.
        """
        network = getattr(self, name)
        params = getattr(self, f"target_{name}_params" if target else f"{name}_params")
        # Not only what the network must read: states may have a mask, or candidates, or neither.
        with params.to_module(network, preserve_module_state=False):
            return run(network, state.exclude("next"))

    def _target(self, batch: TensorDictBase, following: Tensor) -> Tensor:
        """Give r + γ (1 - terminated) V(s′).

        :param following: ``(B,)`` V(s′).
        :returns: ``(B,)``, without gradient.
        """
        value = following.detach().unsqueeze(-1)
        return self.value_estimator.value_estimate(batch, next_value=value).squeeze(-1)

    def _value_loss(
        self, batch: TensorDictBase, predictions: Sequence[Tensor], target: Tensor
    ) -> Tensor:
        """Reduce the summed distances of predictions from a target, and write the priorities.

        :param predictions: ``(B,)`` of each value network.
        :param target: ``(B,)``.
        """
        # The worst of several networks decides how soon a transition is looked at again.
        errors = torch.stack([(each.detach() - target).square() for each in predictions]).amax(0)
        batch.set(self.tensor_keys.priority, errors.unsqueeze(-1))
        distances = [distance_loss(each, target, self.loss_function) for each in predictions]
        return self._reduced(batch, torch.stack(distances).sum(0))

    def _reduced(self, batch: TensorDictBase, loss: Tensor) -> Tensor:
        weights = self._maybe_get_priority_weight(batch)
        if weights is not None:
            weights = weights.reshape(loss.shape)
        return self._reduce_loss(loss, tensordict=batch, weights=weights)

    def _output(self, losses: dict[str, Tensor], batch: TensorDictBase) -> TensorDict:
        size = batch.batch_size if self.reduction == "none" else []
        kept = {
            name: value
            for name, value in losses.items()
            # With no reduction a single number has no place beside a loss per transition.
            if value.shape[: len(size)] == torch.Size(size)
        }
        return TensorDict(kept, batch_size=size)


def run(network: TensorDictModule, state: TensorDictBase) -> TensorDictBase:
    """Run a network, or the part of a probabilistic one that comes before the draw."""
    if hasattr(network, "get_dist_params"):
        return network.get_dist_params(state)
    return network(state)


def logits_of(network: TensorDictModule, written: TensorDictBase, key: NestedKey) -> Tensor:
    """Give the logits ``(..., C)`` of a network that was run.

    :param written: what :func:`run` gave.
    :returns: what stands at the key; of a probabilistic network the ``logits`` of its law, which
        knows what a mask excludes.
    """
    if hasattr(network, "build_dist_from_params"):
        logits: Tensor = network.build_dist_from_params(written).logits
        return logits
    return written.get(key)


def taken(values: Tensor, action: Tensor) -> Tensor:
    """Read the value of the one column shown.

    :param values: ``(..., C)``.
    :param action: ``(..., 1)`` int64.
    :returns: ``(...)``.
    :raises ValueError: where actions are slates of several.
    """
    if action.shape != (*values.shape[:-1], 1):
        raise ValueError(
            f"Actions have shape {tuple(action.shape)}; this loss is for one column shown, "
            "of shape "
            f"{(*values.shape[:-1], 1)}. Use SlateQLoss or ReinforceTopKLoss for slates."
        )
    return at(values, action).squeeze(-1)
