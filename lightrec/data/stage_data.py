"""The base classes of the LightningDataModules of stages, and how processes share their batches.

How batches are made is defined next to the LightningModule of each stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, distributed

from lightrec.data.store import EventStore
from lightrec.errors import DataError
from lightrec.trust import PlainCheckpoint


class StageData(PlainCheckpoint, pl.LightningDataModule, ABC):
    """A LightningDataModule that feeds a stage.

    The command line links ``num_items``, ``vector_size``, ``attribute_size`` and ``feedback_kinds``
    to the module.
    """

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        """See before a run what their types do not say of the constructor's arguments.

        :raises LightrecError: where they cannot be used.
        """

    @property
    @abstractmethod
    def num_items(self) -> int:
        """Number of items N, without padding and "chose nothing"."""

    @property
    def vector_size(self) -> int:
        """Length of the item vectors."""
        return self.vectors.shape[1]

    @property
    @abstractmethod
    def vectors(self) -> Tensor:
        """(N + 1, vector_size) float32: the item vectors; row 0 is zero."""

    @property
    def attribute_size(self) -> int:
        """Number of features of the items' attributes; 0 where they are not read."""
        return 0

    @property
    def feedback_kinds(self) -> int:
        """Number of kinds of feedback; 0 if there is only one, which carries no information."""
        return 0


class LogData(StageData):
    """A LightningDataModule over the prepared log in the folder ``data``."""

    def __init__(self, data: str) -> None:
        super().__init__()
        self.data = data

    @cached_property
    def store(self) -> EventStore:
        """The prepared log as stages see it, opened on first use."""
        return EventStore(self.data).without_cold

    @property
    def num_items(self) -> int:
        """Number of items N, without padding and "chose nothing"."""
        return self.store.num_items

    @property
    def feedback_kinds(self) -> int:
        """Number of kinds of feedback; 0 if there is only one, which carries no information."""
        return len(self.store.feedback_kinds)


class Share(NamedTuple):
    """The rows of every batch that a process computes: every world-th, starting at its rank.

    So the ``batch_size`` of the recipe is that of all processes together, and their number does not
    change results.
    """

    rank: int
    world: int

    @property
    def rows(self) -> slice:
        """The rows of a batch that this process computes."""
        return slice(self.rank, None, self.world)

    def batches(self, rows: int, batch_size: int) -> int:
        """Count the batches in a number of rows; a last one needs a row for every process."""
        return rows // batch_size + (rows % batch_size >= self.world)

    def check(self, rows: int, what: str) -> None:
        """Raise a DataError if there are fewer rows than processes."""
        if self.world > 1 and rows < self.world:
            raise DataError(
                f"There are {rows} {what} for {self.world} processes, and each needs one at least: "
                "train with fewer devices."
            )


def present_share() -> Share:
    """Return this process's share: all rows, if it is the only one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Share(0, 1)
    return Share(distributed.get_rank(), distributed.get_world_size())


def part_of_all(own: Tensor) -> Tensor | float:
    """Return the factor that makes averaged gradients those of the mean over all processes' rows.

    :param own: the number or the weight of this process's rows, a scalar.
    :returns: own · processes / total of all processes.
    """
    world = present_share().world
    if world == 1:
        return 1.0
    total = own.detach().clone()
    distributed.all_reduce(total)
    return own * world / total.clamp_min(torch.finfo(torch.float32).tiny)
