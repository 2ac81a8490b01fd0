"""Users' events one after the other, as histories to read and to cut pieces from."""

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from lightrec.data.store import CONTEXT, TRAIN, EventStore
from lightrec.keys import PADDING, Key

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Users' events one after the other, without those that chose nothing.

    :param items: (E,) int32 item indices 1 to N.
    :param parts: (E,) int8 as in the store.
    :param offsets: (U + 1,) int64 where users begin.
    :param times: (E,) int64 milliseconds since 1970; all alike in a log without times.
    :param feedback: (E,) each event's kind of feedback as in the store; None without.
    :param has_times: whether the times mean anything.
    """

    items: NDArray[np.int32]
    parts: NDArray[np.int8]
    offsets: NDArray[np.int64]
    times: NDArray[np.int64]
    feedback: NDArray[np.signedinteger[Any]] | None = None
    has_times: bool = False

    @classmethod
    def all_events(cls, store: EventStore) -> "Sequences":
        """Everything that may stand in a history; memory-mapped where nothing is dropped."""
        return cls.chosen(store.without_cold)

    @classmethod
    def chosen(cls, store: EventStore) -> "Sequences":
        """Everything that was chosen, held out or not: what a recommender in service knows."""
        whole = cls._whole(store)
        if not store.has_nothing:
            return whole
        return whole._keep(np.asarray(store.items) <= store.num_items)

    @classmethod
    def _whole(cls, store: EventStore) -> "Sequences":
        return cls(
            *(store.items, store.parts, store.offsets, store.times),
            *(store.feedback, store.has_times),
        )

    @classmethod
    def targets(cls, store: EventStore, part: int) -> "Targets":
        """The events of a part as targets, each with where its history ends.

        :param part: VALIDATION, TEST or COLD.
        """
        events = store.events(part)
        chosen = np.asarray(store.items) <= store.num_items
        events = events[chosen[events]]
        before = np.concatenate([[0], np.cumsum(chosen & store.in_histories)])
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
        return replace(
            self,
            items=self.items[kept],
            parts=self.parts[kept],
            offsets=before[self.offsets],
            times=self.times[kept],
            feedback=None if self.feedback is None else self.feedback[kept],
        )

    def users_of(self, events: Rows) -> Rows:
        """Whose events these are: the same shape, int64."""
        return np.searchsorted(self.offsets, events, side="right") - 1

    def details(self, starts: Rows, ends: Rows) -> dict[str, NDArray[np.int64]]:
        """Cut out what is known of events beside their items, as :func:`padded` cuts the items.

        Each event's own feedback and the gap before it, never those of the event after a piece.

        :param starts: (B,) first positions.
        :param ends: (B,) positions after the last, of the same users.
        :returns: (B, L) each: ``Key.FEEDBACK`` and ``Key.GAP``, where the log has them.
        """
        found: dict[str, NDArray[np.int64]] = {}
        if self.feedback is not None:
            found[Key.FEEDBACK] = padded(self.feedback, starts, ends)
        if self.has_times:
            first = self.offsets[self.users_of(starts)]
            # What came before a piece is known, too: only a user's first event has no gap.
            length = max(int((ends - starts).max(initial=1)), 1)
            positions = ends[:, None] + np.arange(-length, 0)
            known = (positions >= starts[:, None]) & (positions > first[:, None])
            gaps = np.zeros(positions.shape, np.int64)
            later = positions[known]
            gaps[known] = gap_buckets(self.times[later] - self.times[later - 1])
            found[Key.GAP] = gaps
        return found


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


def padded(items: NDArray[np.signedinteger[Any]], starts: Rows, ends: Rows) -> NDArray[np.int64]:
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


GAP_BUCKETS: Final = 21
"""The highest bucket; 0 stands for a gap that is not known."""

_MINUTE: Final = 60_000  # milliseconds


def gap_buckets(gaps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sort gaps into buckets: a gap of 10 minutes or 15 means the same, one of a day another.

    Bucket 1 is below a minute, bucket b from 2 to 20 is 2 ** (b - 2) minutes up to twice that, and
    bucket 21 is all from 2 ** 19 minutes on, a day less than a year.

    :param gaps: any shape, int64 milliseconds since the user's event before.
    :returns: the same shape, int64, 1 to :data:`GAP_BUCKETS`.
    """
    minutes = np.maximum(gaps, 0) // _MINUTE
    # The exponent of a float is the number of binary digits, exactly; 0 has none.
    digits = np.frexp(minutes.astype(np.float64))[1]
    return np.minimum(1 + digits, GAP_BUCKETS).astype(np.int64)
