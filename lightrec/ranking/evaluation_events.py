"""Held-out events in batches, each with what came before it."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightrec.data.domain import Showable
from lightrec.data.sequences import Batch, Sequences, Targets, padded
from lightrec.data.share import Share
from lightrec.keys import Key


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
    :param showable: what may not be shown counts as seen, but for the targets.
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
        showable: Showable | None = None,
    ) -> None:
        self.showable = showable
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

    @cached_property
    def met(self) -> Tensor:
        """(E,) bool: whether an event is about an item of its user's history, or a discovery.

        Where a goal is set, that is a purchase of what had been viewed; else what came again.
        """
        found = [np.zeros(0, dtype=bool)]
        for start in range(0, len(self.events), self.batch_size):
            rows = slice(start, start + self.batch_size)
            begin = self.sequences.offsets[self.users[rows]]
            before = padded(self.sequences.items, begin, self.events[rows])
            found.append((before == self.targets[rows, None]).any(1))
        return torch.from_numpy(np.concatenate(found))

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        """Batch ``index``: history (B, L), target (B,), seen (B, S), user (B,), end (B,).

        Where the log has them, also feedback and gap (B, L), of the history's events.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        events, users = self.events[rows], self.users[rows]
        begin, items = self.sequences.offsets[users], self.sequences.items
        history, seen = padded(items, begin, events), self.sequences.known(begin, events)
        if self.max_length is not None:
            begin = np.maximum(begin, events - self.max_length)
            history = padded(items, begin, events)
        batch = {Key.HISTORY: history, Key.TARGET: self.targets[rows].astype(np.int64)}
        batch |= {Key.SEEN: seen, Key.USER: users, Key.END: events}
        batch |= self.sequences.details(begin, events)
        tensors = {name: torch.from_numpy(table) for name, table in batch.items()}
        if self.showable is not None:
            allowed = self.showable(tensors[Key.USER], tensors[Key.END])
            if allowed is not None:
                target = tensors[Key.TARGET][:, None]
                left_out = torch.arange(allowed.shape[1]) * ~allowed.scatter(1, target, True)
                tensors[Key.SEEN] = torch.cat([tensors[Key.SEEN], left_out], 1)
        return tensors
