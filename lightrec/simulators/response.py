"""How users answer slates, and the laws of their answers; no reward is known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key

HIDDEN = (Key.LATENT, Key.TRUE_REWARD)
"""Keys that only worlds know, and no reward or policy reads."""

State: TypeAlias = Tensor | TensorDictBase | Mapping[str, Tensor]
"""A key's value; a mapping becomes a nested TensorDict."""


Pay: TypeAlias = Callable[[TensorDictBase], Tensor]
"""From transitions (see :class:`~lightrec.rewards.base.Reward`) to what policies are paid, (B, 1)
float32."""


@dataclass(frozen=True)
class Outcomes:
    """All O ways in which the users of a batch may answer their slates."""

    taken: Tensor
    """(B, O, K) bool."""
    value: Tensor
    """(B, O, K) float32."""
    probability: Tensor
    """(B, O) float32."""


@dataclass(frozen=True)
class Response:
    """How the users of a batch answered their slates."""

    taken: Tensor
    """(B, K) bool: which items of the slate were taken: none, one, or several, which is a basket.
    An empty place is never taken."""
    value: Tensor
    """(B, K) float32: what each item taken was worth, in the unit of a log's values, such as
    minutes or stars; 1 where nothing tells takings apart, 0 where nothing was taken."""
    leave: Tensor
    """(B,) float32: probability of leaving now; or bool, where chance has no part in it."""
    changed: Mapping[str, State] = field(default_factory=dict)
    """New values of keys that the simulator itself announced; others stay as they are."""
    outcomes: Outcomes | None = None
    """The law from which the answers were drawn, where it comes with them; where it does not,
    :meth:`~lightrec.simulators.base.Simulator.outcomes` is asked for it."""


def or_nothing(taken: Tensor, nothing: int) -> Tensor:
    """Put the item that stands for nothing into the first place where nothing was taken.

    :param taken: (B, K) int64 items, 0 where none was taken.
    """
    declined = (taken == PADDING).all(1, keepdim=True)
    return torch.cat([taken[:, :1] + declined * nothing, taken[:, 1:]], 1)
