"""The base classes of the LightningDataModules of stages.

How batches are made is defined next to the LightningModule of each stage.
"""

from abc import ABC, abstractmethod
from functools import cached_property

import lightning.pytorch as pl
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.trust import PlainCheckpoint


class StageData(PlainCheckpoint, pl.LightningDataModule, ABC):
    """A LightningDataModule that feeds a stage.

    The command line links ``num_items``, ``vector_size`` and ``feedback_kinds`` to the module.
    """

    @property
    @abstractmethod
    def num_items(self) -> int:
        """Number of items N, without padding and "chose nothing"."""

    @property
    @abstractmethod
    def vector_size(self) -> int:
        """Length of the item vectors."""

    @property
    @abstractmethod
    def vectors(self) -> Tensor:
        """(N + 1, vector_size) float32: the item vectors; row 0 is zero."""

    @property
    def feedback_kinds(self) -> int:
        """Number of kinds of feedback; 0 if there is only one, which carries no information."""
        return 0


class LogData(StageData):
    """A LightningDataModule over a prepared log.

    :param data: folder of the prepared log.
    """

    def __init__(self, data: str) -> None:
        super().__init__()
        self.data = data

    @cached_property
    def store(self) -> EventStore:
        """The prepared log as stages see it, opened on first use."""
        return EventStore.open(self.data).without_cold

    @property
    def num_items(self) -> int:
        """Number of items N, without padding and "chose nothing"."""
        return self.store.num_items

    @property
    def num_users(self) -> int:
        """Number of users."""
        return self.store.num_users

    @property
    def feedback_kinds(self) -> int:
        """Number of kinds of feedback; 0 if there is only one, which carries no information."""
        return len(self.store.feedback_kinds)

    @property
    def repeats(self) -> bool:
        """Whether an item may come again in a session and in a history."""
        return self.store.repeats
