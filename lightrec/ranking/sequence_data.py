"""The ranker stage's data: windows of histories to train on, held-out events to judge by.

Batches are plain NumPy over the memory-mapped log.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from lightrec.data.sequences import Batch, Sequences, padded
from lightrec.data.share import RowSampler, present_share
from lightrec.data.store import TEST, TRAIN, VALIDATION, EventStore
from lightrec.encoders.base import Encoder
from lightrec.encoders.hub import TUNED, read_json
from lightrec.encoders.tuned import tuned
from lightrec.encoders.tuning_data import TextLogData
from lightrec.errors import DataError
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend import COPIES, rows_held
from lightrec.ranking.continued import windows_to_train
from lightrec.ranking.evaluation_events import EvaluationEvents

SEEN = 1000
"""Items before a training window that are given to the loss, the last ones."""
TARGETS = 750
"""Items that a training batch predicts, about, where the recipe names no number of windows."""
BATCHES = 100
"""Batches of an epoch at least, about: in a small log they predict fewer items."""
Windows = NDArray[np.int64]
"""(W, 2), each the first position and the position after the last, as inputs."""


class TrainWindows(Dataset[Batch]):
    """Training windows: at each position the item, and the item that followed it.

    :param sequences: from :meth:`~lightrec.data.sequences.Sequences.training`.
    :param max_length: positions in a window; a longer history is cut into several.
    :param seen_length: how many of the items before a window are given, the last ones.
    :param last: (U,) how many of each user's windows count, the last ones; None for all.
    """

    def __init__(
        self,
        sequences: Sequences,
        max_length: int,
        seen_length: int,
        last: NDArray[np.int64] | None = None,
    ) -> None:
        self.sequences, self.max_length, self.seen_length = sequences, max_length, seen_length
        steps = np.maximum(np.diff(sequences.offsets) - 1, 0)
        self.counts = -(-steps // max_length)
        self.steps = int(steps.sum())
        self.slack = self.counts * max_length - steps
        self.last = self.counts if last is None else np.minimum(last, self.counts)
        self.positions = int(np.minimum(steps, self.last * max_length).sum())

    def __len__(self) -> int:
        return int(self.last.sum())

    def windows(self, generator: np.random.Generator) -> Windows:
        """Cut all histories, again each epoch.

        Where a history fills no whole number of windows, what is missing is taken from its first
        and last window by chance, so that borders move while the number of windows stays.
        """
        users = np.repeat(np.arange(len(self.counts)), self.counts)
        first = np.cumsum(self.counts) - self.counts
        number = np.arange(len(users)) - first[users]
        shift = np.where(self.counts > 1, generator.integers(0, self.slack + 1), 0)
        begin = self.sequences.offsets[:-1][users]
        start = begin + number * self.max_length - shift[users]
        last = self.sequences.offsets[1:][users] - 1
        cut = np.stack([np.maximum(start, begin), np.minimum(start + self.max_length, last)], 1)
        return cut[number >= (self.counts - self.last)[users]]

    def drawn(self, generator: np.random.Generator) -> tuple[Windows, NDArray[np.int64]]:
        """The windows of an epoch in a random order, and their lengths."""
        windows = generator.permutation(self.windows(generator))
        return windows, windows[:, 1] - windows[:, 0]

    def __getitem__(self, windows: Windows) -> Batch:
        """A batch of B windows: history and target (B, L), seen (B, S).

        Where the log has them, also feedback and gap (B, L) of the history's events, the targets'
        feedback as asked (B, L), and with a goal what of the history was reached (B, L).
        """
        starts, ends = windows[:, 0], windows[:, 1]
        items, parts = self.sequences.items, self.sequences.parts
        target = padded(items, starts + 1, ends + 1)
        target[padded(parts != TRAIN, starts + 1, ends + 1) != 0] = PADDING
        begin = self.sequences.offsets[self.sequences.users_of(starts)]
        seen = self.sequences.known(np.maximum(begin, starts - self.seen_length), starts)
        batch = {Key.HISTORY: padded(items, starts, ends), Key.TARGET: target, Key.SEEN: seen}
        batch |= self.sequences.details(starts, ends)
        if self.sequences.feedback is not None:
            batch[Key.ASKED] = padded(self.sequences.feedback, starts + 1, ends + 1)
        if self.sequences.seen is not None:
            batch[Key.REACHED] = self.sequences.known(starts, ends)
        return {name: torch.from_numpy(table) for name, table in batch.items()}


class SequenceData(TextLogData):
    """Histories of a prepared log, and the text vectors of its items.

    Only training events are targets in training; events without a role of their own (context) may
    stand in histories; events at which a user chose nothing are left out. A held-out event's
    history is all that its user did before, other held-out events included. Batches are those of
    :class:`TrainWindows` and :class:`~lightrec.ranking.evaluation_events.EvaluationEvents`.

    :param data: folder of the prepared log.
    :param text_encoder: makes the items' vectors from their texts; null does without.
    :param text: folder of the stage `text`: the encoder that it has tuned, if it has, is taken in
        place of the one that it was made from.
    :param max_length: positions in a training window and in an evaluated history.
    :param batch_size: training windows in a batch; null for as many as predict some 750 items,
        and in a small log a 100th of all.
    :param evaluation_batch_size: held-out events in a batch.
    :param max_validated: at most so many validation events are ranked, drawn by the seed; null for
        all of them.
    :param since: folder of an earlier prepared log; training then sees the windows with events that
        are new since, and those of some other users. Null for all windows.
    :param replay: share of those other users.
    :param ranker: folder of the ranker stage, from which training continues after all is judged: as
        with ``since``, what is new being the events that were held out. Then none is any more.
    :param seed: of the order and the draws.
    """

    def __init__(
        self,
        data: str,
        text_encoder: Encoder | None = None,
        max_length: int = 50,
        batch_size: int | None = 32,
        evaluation_batch_size: int = 128,
        max_validated: int | None = 20_000,
        since: str | None = None,
        replay: float = 0.1,
        text: str | None = None,
        ranker: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(data, tuned(text_encoder, text))
        self.text = text
        self.max_length, self.batch_size = max_length, batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.max_validated, self.seed = max_validated, seed
        self.since, self.replay, self.ranker = since, replay, ranker

    @cached_property
    def store(self) -> EventStore:
        """The prepared log as the stage sees it, opened on first use."""
        return super().store if self.ranker is None else EventStore(self.data).whole

    @property
    def about_texts(self) -> dict[str, object]:
        """Notes of the text encoder on itself, and of the stage `text` on what it has done."""
        if self.text_encoder is None:
            return {}
        tuning = {} if self.text is None else read_json(Path(self.text) / TUNED)
        return {**self.text_encoder.about, **tuning}

    @cached_property
    def training(self) -> Sequences:
        """The events of the training windows."""
        return self.histories.training()

    @cached_property
    def before(self) -> EventStore | None:
        """The earlier log from which training continues, if there is one."""
        before = self.since if self.ranker is None else self.data
        return None if before is None else EventStore(before).without_cold

    @cached_property
    def windows(self) -> TrainWindows:
        """The windows to train on."""
        last = None
        if self.before is not None:
            chosen = self.max_length, self.replay, self.seed
            last = windows_to_train(self.training, self.store, self.before, *chosen)
        return TrainWindows(self.training, self.max_length, SEEN, last)

    @property
    def windows_in_batch(self) -> int:
        """Windows in a training batch of all processes together."""
        if self.batch_size is not None:
            return self.batch_size
        # Of the whole log: an update's batches are as large as those of the training before.
        targets = min(TARGETS, self.windows.steps / BATCHES)
        number = round(targets * len(self.windows) / max(self.windows.positions, 1))
        return max(number, present_share().world)

    @property
    def targets_in_batch(self) -> float:
        """Items that a training batch of all processes predicts, on average."""
        return self.windows.positions * self.windows_in_batch / max(len(self.windows), 1)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Windows, in an order that follows from seed and epoch.

        :raises DataError: where no user has two training events, unless nothing is to be trained.
        """
        windows = self.windows
        untrained = self.trainer is not None and self.trainer.max_epochs == 0
        if not (len(windows) or untrained):
            raise DataError(
                "No user has two training events, so that there is nothing to learn an order from. "
                "Lower minimum_value or k_core, or give a longer log.",
                source=self.data,
            )
        return DataLoader(
            windows,
            batch_size=None,
            sampler=RowSampler(windows.drawn, len(windows), self.windows_in_batch, self.seed),
            # Its own: a DataLoader that begins draws from torch's global generator otherwise, and a
            # resumed run, whose dropout comes from there, begins it at another moment.
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation events; none where nothing is held out.

        :raises DataError: where there are none in a log that holds events out.
        """
        return self._evaluation(VALIDATION, self.max_validated)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test events."""
        return self._evaluation(TEST, None)

    def _evaluation(self, part: int, limit: int | None) -> DataLoader[Batch]:
        # The scores of a batch over a large catalog would take gigabytes.
        most = rows_held(COPIES * self.num_items)
        share, size = present_share(), min(self.evaluation_batch_size, most)
        events = EvaluationEvents(
            self.histories, part, self.max_length, size, limit, self.seed, share
        )
        if part == VALIDATION and self.ranker is None and not len(events):
            raise DataError(
                "There are no validation events to choose the best epoch by: leave-one-out needs "
                "users with three events or more, global-time a longer validation_fraction.",
                source=self.data,
            )
        if self.ranker is None:
            share.check(len(events.events) * share.world, "held-out events")
        return DataLoader(events, batch_size=None)
