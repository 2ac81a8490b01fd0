"""Laws of slates of items, whichever columns scores stand in.

Scores of a state stand in columns: all items where the state has a mask, or the candidates of an
offer. A law of slates is over the items themselves, so that whoever asks for it need not know.
"""

from typing import Protocol

import torch
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.nn.session import State


class SlateLaw(Protocol):
    """The law of an ordered slate of K distinct items; 0 fills the last places up.

    Nothing that a state forbids has any probability. Where fewer than K items may be shown, slates
    are shorter, and empty where none may.
    """

    def sample(self) -> Tensor:
        """Draw slates from torch's global generator: ``(..., K)`` int64."""

    def log_prob(self, slate: Tensor) -> Tensor:
        """Logarithm of the probability of exactly this slate in this order.

        :param slate: ``(..., K)`` int64.
        :returns: ``(...)`` float32.
        """

    @property
    def mode(self) -> Tensor:
        """The slate to show where nothing is drawn, ``(..., K)`` int64: the best first."""


class ItemSlates:
    """A law of slates of columns as one of the items that stand there.

    :param columns: the law of the columns.
    :param candidates: ``(..., C)`` int64 items that stand there; None where column i is item i.
    """

    def __init__(self, columns: PlackettLuce, candidates: Tensor | None = None) -> None:
        self.columns, self.candidates = columns, candidates

    def sample(self) -> Tensor:
        """Draw slates from torch's global generator: ``(..., K)`` int64."""
        return items_at(self.columns.sample(), self.candidates)

    def sample_and_log_prob(self) -> tuple[Tensor, Tensor]:
        """Draw slates and give their log-probabilities, where possible without a second look."""
        columns, log_probability = self.columns.sample_and_log_prob()
        return items_at(columns, self.candidates), log_probability

    def log_prob(self, slate: Tensor) -> Tensor:
        """Logarithm of a slate's probability, ``(...)``; see :class:`SlateLaw`."""
        if self.candidates is None:
            return self.columns.log_prob(slate.masked_fill(slate == PADDING, EMPTY))
        columns = columns_at(slate, self.candidates)
        missing = ((columns == EMPTY) & (slate != PADDING)).any(-1)
        return self.columns.log_prob(columns).masked_fill(missing, -torch.inf)

    @property
    def mode(self) -> Tensor:
        """The items of highest score, best first: ``(..., K)`` int64."""
        return items_at(self.columns.mode, self.candidates)


def may_be_shown(state: State) -> Tensor | None:
    """Columns of a state that may be shown, bool; None where the state forbids nothing."""
    candidates = state.get(Key.CANDIDATES, None)
    mask: Tensor | None = state.get(Key.MASK, None) if candidates is None else candidates > PADDING
    return mask


def items_at(columns: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Turn columns ``(..., K)`` into items, an empty place (-1) into 0.

    :param candidates: ``(..., C)`` int64 items by column; None where column i is item i.
    """
    if candidates is None:
        return columns.clamp_min(PADDING)
    return candidates.gather(-1, columns.clamp_min(0)).masked_fill(columns < 0, PADDING)


def columns_at(items: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Turn items ``(..., K)`` into columns, -1 for 0 and for what is not among ``candidates``."""
    if candidates is None:
        return items.masked_fill(items == PADDING, EMPTY)
    same = (items.unsqueeze(-1) == candidates.unsqueeze(-2)) & (items != PADDING).unsqueeze(-1)
    return torch.where(same.any(-1), same.to(torch.int8).argmax(-1), EMPTY)
