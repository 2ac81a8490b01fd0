"""The encoder stage's data: windows of histories to train on, held-out events to judge by."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightrec.data.processes import present_share
from lightrec.data.sequences import Sequences
from lightrec.data.stage_data import LogData
from lightrec.data.store import TEST, VALIDATION
from lightrec.encoders.base import Encoder, encoded
from lightrec.errors import DataError
from lightrec.keys import Column
from lightrec.ranking.sequence_transforms import DrawSampler, SequenceTransform, TransformedWindows
from lightrec.ranking.sequences import (
    Batch,
    EvaluationEvents,
    TrainWindows,
    WindowSampler,
)


class SequenceData(LogData):
    """Histories of a prepared log, and the text vectors of its items.

    Only training events are targets in training; events without a role of their own (context) may
    stand in histories; events at which a user chose nothing are left out. A held-out event's
    history is all that its user did before, other held-out events included.

    Training batches: history and target (B, L), seen (B, S), the items before the window.
    Evaluation batches: history (B, L), target (B,), seen (B, S), user (B,).
    Both, where the log has them: the history's feedback and gap (B, L), see ``lightrec.keys.Key``.

    :param data: folder of the prepared log.
    :param text_encoder: makes the items' vectors from their texts; null does without.
    :param max_length: positions in a training window and in an evaluated history.
    :param batch_size: training windows in a batch.
    :param evaluation_batch_size: held-out events in a batch.
    :param max_validated: at most so many validation events are ranked, drawn by the seed; null for
        all of them.
    :param max_tested: the same for test events.
    :param seen_length: how many items before a training window are told to the loss.
    :param num_workers: processes that make batches.
    :param transforms: change training windows by chance, one after the other, against overfitting;
        null for none.
    :param seed: of the order and the draws.
    """

    def __init__(
        self,
        data: str,
        text_encoder: Encoder | None = None,
        max_length: int = 50,
        batch_size: int = 32,
        evaluation_batch_size: int = 128,
        max_validated: int | None = 20_000,
        max_tested: int | None = None,
        seen_length: int = 1000,
        num_workers: int = 0,
        transforms: list[SequenceTransform] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(data)
        self.text_encoder = text_encoder
        self.max_length, self.batch_size = max_length, batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.max_validated, self.max_tested = max_validated, max_tested
        self.seen_length, self.num_workers, self.seed = seen_length, num_workers, seed
        self.transforms = transforms or []

    @property
    def vector_size(self) -> int:
        """Length of the text vectors; 0 without a text encoder."""
        return 0 if self.text_encoder is None else self.text_encoder.size

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, vector_size) float32; zeros for padding and for items without a text."""
        table = torch.zeros(self.num_items + 1, self.vector_size)
        if self.text_encoder is None:
            return table
        texts = self.store.catalog.get_column(Column.TEXT).fill_null("").to_list()
        rows = [row for row, text in enumerate(texts, start=1) if text]
        if rows:
            ids = self.store.catalog.get_column(Column.ITEM)
            own = [texts[row - 1] for row in rows], [ids[row - 1] for row in rows]
            table[rows] = encoded(self.text_encoder, *own)
        return table

    @cached_property
    def histories(self) -> Sequences:
        """All events that may stand in a history."""
        return Sequences.all_events(self.store)

    @cached_property
    def training(self) -> Sequences:
        """The events of the training windows."""
        return self.histories.training()

    def popularity(self) -> Tensor:
        """(N + 1,) float32: how often each item was a training event."""
        return torch.from_numpy(self.store.popularity().astype(np.float32))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Windows, in an order that follows from seed and epoch.

        :raises DataError: where no user has two training events.
        """
        windows = TrainWindows(self.training, self.max_length, self.seen_length)
        if not len(windows):
            raise DataError(
                "No user has two training events, so that there is nothing to learn an order from. "
                "Lower minimum_value or k_core, or give a longer log.",
                source=self.data,
            )
        sampler = WindowSampler(windows, self.batch_size, self.seed)
        # A generator of its own: a DataLoader that begins draws from torch's global one otherwise,
        # and a resumed run, whose dropout comes from there, begins it at another moment.
        own = torch.Generator()
        if self.transforms:
            return DataLoader(
                TransformedWindows(windows, self.transforms),
                batch_size=None,
                sampler=DrawSampler(sampler),
                num_workers=self.num_workers,
                generator=own,
            )
        return DataLoader(
            windows,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            generator=own,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation events.

        :raises DataError: where there are none.
        """
        return self._evaluation(VALIDATION, self.max_validated)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test events."""
        return self._evaluation(TEST, self.max_tested)

    def _evaluation(self, part: int, limit: int | None) -> DataLoader[Batch]:
        share = present_share()
        events = EvaluationEvents(
            self.histories,
            part,
            self.max_length,
            self.evaluation_batch_size,
            limit,
            self.seed,
            share,
        )
        if part == VALIDATION and not len(events):
            raise DataError(
                "There are no validation events to choose the best epoch by: leave-one-out needs "
                "users with three events or more, global-time a longer validation_fraction.",
                source=self.data,
            )
        share.check(len(events.events) * share.world, "held-out events")
        return DataLoader(events, batch_size=None, num_workers=self.num_workers)
