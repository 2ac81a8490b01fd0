"""Histories cut into batches: windows for training, one row an event for evaluation.

Plain NumPy over the memory-mapped log; the LightningDataModule is in ``sequence_data.py``.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lightrec.data.processes import Share, present_share
from lightrec.data.sequences import Sequences, Targets, padded
from lightrec.data.store import TRAIN
from lightrec.keys import PADDING, Key

Batch = dict[str, Tensor]


class TrainWindows(Dataset[Batch]):
    """Training windows: at each position the item, and the item that followed it.

    :param sequences: from :meth:`~lightrec.data.sequences.Sequences.training`.
    :param max_length: positions in a window; a longer history is cut into several.
    :param seen_length: how many of the items before a window are told, the last ones.
    """

    def __init__(self, sequences: Sequences, max_length: int, seen_length: int) -> None:
        self.sequences, self.max_length, self.seen_length = sequences, max_length, seen_length
        steps = np.maximum(np.diff(sequences.offsets) - 1, 0)
        self.counts = -(-steps // max_length)
        self.slack = self.counts * max_length - steps

    def __len__(self) -> int:
        return int(self.counts.sum())

    def windows(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Cut all histories, anew each epoch.

        Where a history fills no whole number of windows, what is missing is taken from its first
        and last window by chance, so that borders move while the number of windows stays.

        :returns: (W, 2) int64, first position and position after the last, as inputs.
        """
        users = np.repeat(np.arange(len(self.counts)), self.counts)
        first = np.cumsum(self.counts) - self.counts
        number = np.arange(len(users)) - first[users]
        shift = np.where(self.counts > 1, generator.integers(0, self.slack + 1), 0)
        begin = self.sequences.offsets[:-1][users]
        start = begin + number * self.max_length - shift[users]
        last = self.sequences.offsets[1:][users] - 1
        return np.stack([np.maximum(start, begin), np.minimum(start + self.max_length, last)], 1)

    def __getitem__(self, windows: NDArray[np.int64]) -> Batch:
        """Give the batch of some (B, 2) windows: history and target (B, L), seen (B, S).

        Where the log has them, also feedback and gap (B, L), of the history's events.
        """
        starts, ends = windows[:, 0], windows[:, 1]
        items, parts = self.sequences.items, self.sequences.parts
        target = padded(items, starts + 1, ends + 1)
        target[padded(parts != TRAIN, starts + 1, ends + 1) != 0] = PADDING
        begin = self.sequences.offsets[self.sequences.users_of(starts)]
        seen = padded(items, np.maximum(begin, starts - self.seen_length), starts)
        return {
            Key.HISTORY: torch.from_numpy(padded(items, starts, ends)),
            Key.TARGET: torch.from_numpy(target),
            Key.SEEN: torch.from_numpy(seen),
            **details(self.sequences, starts, ends),
        }


class WindowSampler(Sampler[NDArray[np.int64]]):
    """Batches of windows of like length, in an order that follows from seed and epoch alone.

    Of each batch a process gets its own share, see :class:`~lightrec.data.processes.Share`.

    :param dataset: the windows.
    :param batch_size: windows in a batch.
    :param seed: of the run.
    """

    POOL = 16
    """Windows are sorted by length among so many batches, which saves padding."""

    def __init__(self, dataset: TrainWindows, batch_size: int, seed: int) -> None:
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning tells the epoch before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return present_share().batches(len(self.dataset), self.batch_size)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        share = present_share()
        generator = np.random.default_rng((self.seed, self.epoch))
        windows = generator.permutation(self.dataset.windows(generator))
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(windows), self.POOL * self.batch_size):
            pool = windows[start : start + self.POOL * self.batch_size]
            pool = pool[np.argsort(pool[:, 1] - pool[:, 0], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        for index in generator.permutation(len(batches)):
            if len(batches[index]) >= share.world:
                yield batches[index][share.rows]


class EvaluationEvents(Dataset[Batch]):
    """Held-out events, each with all that its user did before.

    :param sequences: from :meth:`~lightrec.data.sequences.Sequences.all_events`.
    :param part: VALIDATION or TEST; or the events themselves, from
        :meth:`~lightrec.data.sequences.Sequences.targets`.
    :param max_length: how many events a history holds, the last ones; None for all.
    :param batch_size: events in a batch.
    :param limit: at most so many events, drawn by ``seed``; None for all.
    :param seed: of the run.
    :param share: of a process among several, each of which takes part of the events.
    """

    def __init__(
        self,
        sequences: Sequences,
        part: int | Targets,
        max_length: int | None,
        batch_size: int,
        limit: int | None,
        seed: int,
        share: Share = Share(0, 1),  # noqa: B008 (a constant)
    ) -> None:
        self.sequences, self.max_length, self.batch_size = sequences, max_length, batch_size
        if isinstance(part, Targets):
            events, users, items, mark = part.ends, part.users, part.items, len(part.items)
        else:
            events, mark = np.flatnonzero(np.asarray(sequences.parts) == part), part
            users, items = sequences.users_of(events), np.asarray(sequences.items)[events]
        if limit is not None and len(events) > limit:
            generator = np.random.default_rng((seed, mark))
            kept = np.sort(generator.choice(len(events), limit, replace=False))
            events, users, items = events[kept], users[kept], items[kept]
        # Batches of like lengths; their order does not matter to a metric.
        order = np.argsort(events - sequences.offsets[users], kind="stable")[share.rows]
        self.events, self.users, self.targets = events[order], users[order], items[order]

    def __len__(self) -> int:
        return -(-len(self.events) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        """Give batch ``index``: history (B, L), target (B,), seen (B, S), user (B,).

        Where the log has them, also feedback and gap (B, L), of the history's events.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        events, users = self.events[rows], self.users[rows]
        begin, items = self.sequences.offsets[users], self.sequences.items
        seen = history = padded(items, begin, events)
        if self.max_length is not None:
            begin = np.maximum(begin, events - self.max_length)
            history = padded(items, begin, events)
        return {
            Key.HISTORY: torch.from_numpy(history),
            Key.TARGET: torch.from_numpy(self.targets[rows].astype(np.int64)),
            Key.SEEN: torch.from_numpy(seen),
            Key.USER: torch.from_numpy(users),
            **details(self.sequences, begin, events),
        }


def details(sequences: Sequences, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Batch:
    """Give :meth:`~lightrec.data.sequences.Sequences.details` as tensors."""
    return {name: torch.from_numpy(t) for name, t in sequences.details(starts, ends).items()}
