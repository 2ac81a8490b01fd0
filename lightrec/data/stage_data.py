"""The base classes of the LightningDataModules of stages.

How batches are made is defined next to the LightningModule of each stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.trust import PlainCheckpoint


class StageData(PlainCheckpoint, pl.LightningDataModule, ABC):
    """A LightningDataModule that feeds a stage.

    The command line links ``num_items``, ``vector_size``, ``people`` and ``feedback_kinds`` to the
    module.
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
    def people(self) -> tuple[int, int]:
        """Number of users and of features of their attributes; 0 where they are not read."""
        return 0, 0

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
