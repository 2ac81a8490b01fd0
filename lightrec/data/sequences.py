"""Users' events one after the other, as histories to read and to cut pieces from."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lightrec.data.store import COLD, CONTEXT, TRAIN, EventStore
from lightrec.keys import PADDING

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Users' events one after the other, without those that chose nothing.

    :param items: (E,) int32 item indices 1 to N.
    :param parts: (E,) int8 as in the store.
    :param offsets: (U + 1,) int64 where users begin.
    :param times: (E,) int64 milliseconds since 1970; all alike in a log without times.
    """

    items: NDArray[np.int32]
    parts: NDArray[np.int8]
    offsets: NDArray[np.int64]
    times: NDArray[np.int64]

    @classmethod
    def all_events(cls, store: EventStore) -> "Sequences":
        """Everything that may stand in a history; memory-mapped where nothing is dropped."""
        whole = cls(store.items, store.parts, store.offsets, store.times)
        if not store.has_nothing and not store.has_cold:
            return whole
        return whole._keep(cls._in_histories(store))

    @staticmethod
    def _in_histories(store: EventStore) -> NDArray[np.bool_]:
        return (np.asarray(store.items) <= store.num_items) & (np.asarray(store.parts) != COLD)

    @classmethod
    def targets(cls, store: EventStore, part: int) -> "Targets":
        """The events of a part as targets, each with where its history ends.

        :param part: VALIDATION, TEST or COLD.
        """
        events = store.events(part)
        events = events[np.asarray(store.items)[events] <= store.num_items]
        before = np.concatenate([[0], np.cumsum(cls._in_histories(store))])
        return Targets(np.asarray(store.items)[events], store.users_of(events), before[events])

    def training(self) -> "Sequences":
        """Only training events and the context before a user's last one."""
        last = np.full(len(self.offsets) - 1, -1, dtype=np.int64)
        events = np.flatnonzero(np.asarray(self.parts) == TRAIN)
        last[self.users_of(events)] = events  # ascending, so that the last one stays
        kept = np.isin(self.parts, (TRAIN, CONTEXT))
        kept &= np.arange(len(kept)) <= np.repeat(last, np.diff(self.offsets))
        return self._keep(kept)

    def _keep(self, kept: NDArray[np.bool_]) -> "Sequences":
        before = np.concatenate([[0], np.cumsum(kept)])
        return Sequences(self.items[kept], self.parts[kept], before[self.offsets], self.times[kept])

    def users_of(self, events: Rows) -> Rows:
        """Whose events these are: the same shape, int64."""
        return np.searchsorted(self.offsets, events, side="right") - 1


@dataclass(frozen=True)
class Targets:
    """Events to be foreseen.

    :param items: (T,) int32.
    :param users: (T,) int64 rows of the user table.
    :param ends: (T,) int64 places in :meth:`Sequences.all_events`, where their histories end.
    """

    items: NDArray[np.int32]
    users: Rows
    ends: Rows

    def only(self, kept: NDArray[np.bool_]) -> "Targets":
        """Those that a (T,) mask keeps."""
        return Targets(self.items[kept], self.users[kept], self.ends[kept])


def padded(items: NDArray[np.int32], starts: Rows, ends: Rows) -> NDArray[np.int64]:
    """Cut pieces out of a long array, padded with 0 on the left to the longest.

    :param items: (E,).
    :param starts: (B,) first positions.
    :param ends: (B,) positions after the last.
    :returns: (B, L) int64, L at least 1.
    """
    length = max(int((ends - starts).max(initial=1)), 1)
    positions = ends[:, None] + np.arange(-length, 0)
    inside = positions >= starts[:, None]
    taken = items[np.where(inside, positions, 0)] if len(items) else np.zeros_like(positions)
    return np.where(inside, taken, PADDING).astype(np.int64)
