"""The base class of item models: fitted to a log by a formula, then scoring any history."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn

from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore
from lightrec.errors import LightrecError

Setting: TypeAlias = int | float | str | bool | None


class NotApplicable(LightrecError):
    """An item model does not fit this log; the message says why, and the others go on."""


@dataclass(frozen=True)
class Evidence:
    """What an item model may be fitted to.

    :param log: the training events.
    :param num_items: N.
    :param vectors: (N + 1, V) float32 text vectors, row 0 zero; V is 0 where there are none.
    :param is_ordered: whether the order of a user's events means anything.
    :param has_times: whether the events' times are known.
    """

    log: Sequences
    num_items: int
    vectors: Tensor
    is_ordered: bool = True
    has_times: bool = True

    @classmethod
    def of(cls, store: EventStore, vectors: Tensor) -> "Evidence":
        """The training events of a prepared log.

        :param vectors: as above.
        """
        log = Sequences.all_events(store).training()
        return cls(log, store.num_items, vectors, store.is_ordered, store.has_times)

    def counts(self) -> Tensor:
        """(N + 1,) float32: how many training events each item has."""
        items = torch.from_numpy(self.log.items.astype("int64"))
        return torch.bincount(items, minlength=self.num_items + 1).float()


class ItemModel(nn.Module, ABC):
    """Scores all items for a history, from what :meth:`fit` computed once.

    Every constructor argument is kept as an attribute of its name. An argument that is None is
    chosen on validation events among its values in ``GRID``, see
    :func:`lightrec.ranking.item_models.selection.choose`.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {}
    """Arguments that may be None, with the values that are tried."""
    SCORING: ClassVar[frozenset[str]] = frozenset({"decay"})
    """Arguments that :meth:`fit` does not look at."""

    @property
    def settings(self) -> dict[str, Setting]:
        """The constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def values(self, evidence: Evidence) -> dict[str, Sequence[Setting]]:
        """Which values of which arguments have to be tried on a log."""
        return {name: self.GRID[name] for name, value in self.settings.items() if value is None}

    @abstractmethod
    def fit(self, evidence: Evidence) -> Self:
        """Compute what scoring needs, kept as buffers.

        :raises NotApplicable: where the log is not of a kind for it.
        """

    @abstractmethod
    def scores(self, history: Tensor) -> Tensor:
        """Score all items.

        :param history: (B, L) int64, padded on the left, any L.
        :returns: (B, N + 1) float32, higher is better; column 0 means nothing. What is below 0
            counts as 0 in a blend.
        """

    def keep(self, name: str, value: Tensor) -> None:
        """Keep a tensor as a buffer, in place of an earlier one of that name."""
        self.register_buffer(name, value)

    @classmethod
    def restore(cls, settings: Mapping[str, Setting], tensors: Mapping[str, Tensor]) -> Self:
        """Make one anew from its settings and its buffers."""
        model = cls(**settings)
        for name, tensor in tensors.items():
            model.keep(name, tensor)
        return model
