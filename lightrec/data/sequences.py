"""Users' events in sequence, from which histories and training pieces are cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import CONTEXT, TRAIN, EventStore, padded
from lightrec.keys import PADDING, Key

Positions: TypeAlias = NDArray[np.int64]
Batch: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Sequences:
    """The events of all users in sequence, without those in which nothing was chosen.

    :param items: (E,) int32 item indices 1 to N.
    :param parts: (E,) int8 as in the store.
    :param offsets: (U + 1,) int64 where users begin.
    :param times: (E,) int64 milliseconds since 1970; all equal in a log without times.
    :param feedback: (E,) each event's kind of feedback as in the store; None if there is one kind.
    :param has_times: whether the log has times.
    :param seen: (E,) int32 what an event makes seen, see the store; None: its item.
    """

    items: NDArray[np.int32]
    parts: NDArray[np.int8]
    offsets: NDArray[np.int64]
    times: NDArray[np.int64]
    feedback: NDArray[np.signedinteger[Any]] | None = None
    has_times: bool = False
    seen: NDArray[np.int32] | None = None

    @classmethod
    def all_events(cls, store: EventStore) -> "Sequences":
        """All events that may be in a history; memory-mapped if none is dropped."""
        return cls.chosen(store.without_cold)

    @classmethod
    def chosen(cls, store: EventStore) -> "Sequences":
        """All events in which an item was chosen, held out or not: what is known in service.

        Those that only led to an event of the goal are left out: whoever is to predict a purchase
        must not know that its item was put into the basket a minute before.
        """
        whole = cls.recorded(store)
        if not store.has_nothing and store.leads is None:
            return whole
        return whole._keep(store.in_sequence)

    @classmethod
    def recorded(cls, store: EventStore) -> "Sequences":
        """All events of a store in their places there, also those in which nothing was chosen."""
        arrays = (store.items, store.parts, store.offsets, store.times)
        seen = None if store.seen is store.items else store.seen
        return cls(*arrays, store.feedback, store.has_times, seen)

    @classmethod
    def targets(cls, store: EventStore, part: int) -> "Targets":
        """The events of a part as targets, each with the end of its history.

        :param part: VALIDATION, TEST or COLD.
        """
        events = store.events(part)
        chosen = store.in_sequence
        events = events[(chosen & store.reaches)[events]]
        before = np.concatenate([[0], np.cumsum(chosen & store.in_histories)])
        return Targets(np.asarray(store.items)[events], store.users_of(events), before[events])

    def training(self) -> "Sequences":
        """Only training events, and context before a user's last training event."""
        train = np.asarray(self.parts) == TRAIN
        if not (np.asarray(self.parts) == CONTEXT).any():
            return self._keep(train)
        last = np.full(len(self.offsets) - 1, -1, dtype=np.int64)
        events = np.flatnonzero(train)
        last[self.users_of(events)] = events  # ascending, so the last one stays
        kept = np.isin(self.parts, (TRAIN, CONTEXT))
        kept &= np.arange(len(kept)) <= np.repeat(last, np.diff(self.offsets))
        return self._keep(kept)

    def _keep(self, kept: NDArray[np.bool_]) -> "Sequences":
        before = np.zeros(len(kept) + 1, np.min_scalar_type(len(kept)))
        np.cumsum(kept, out=before[1:])
        offsets = before[self.offsets].astype(np.int64)
        names = "items", "parts", "times", "feedback", "seen"
        columns = {name: getattr(self, name) for name in names}
        taken = {name: values[kept] for name, values in columns.items() if values is not None}
        return replace(self, offsets=offsets, **taken)

    def known(self, starts: Positions, ends: Positions) -> NDArray[np.int64]:
        """Cut out what the events of a piece make seen, as :meth:`details` cuts: (B, L)."""
        return padded(self.items if self.seen is None else self.seen, starts, ends)

    def until(self, users: Positions, times: Positions) -> Positions:
        """Where users' histories end before moments, both (B,): (B,) int64; without times, whole.

        :param times: in milliseconds since 1970 UTC.
        """
        ends = self.offsets[users + 1]
        if not self.has_times:
            return ends
        pairs = zip(self.offsets[users], ends, times, strict=True)
        places = [begin + np.searchsorted(self.times[begin:end], t) for begin, end, t in pairs]
        return np.array(places, np.int64)

    def users_of(self, events: Positions) -> Positions:
        """The users of events: the same shape, int64."""
        return np.searchsorted(self.offsets, events, side="right") - 1

    def so_far(self, store: EventStore, ends: Positions) -> Positions:
        """How many of the events before ends belong to the session of the event there: int64.

        :param store: whose sequences these are, by :meth:`chosen` or :meth:`recorded`.
        """
        begins = store.session_offsets
        if len(self.items) < len(store):
            begins = np.concatenate([[0], np.cumsum(store.in_sequence)])[begins]
        return ends - begins[np.searchsorted(begins, ends, side="right") - 1]

    def details(self, starts: Positions, ends: Positions) -> dict[str, NDArray[np.int64]]:
        """Cut out feedback and time gaps, as :func:`~lightrec.data.store.padded` cuts the items.

        The gap is that before an event; nothing of the event after a piece is included.

        :param starts: (B,) first positions.
        :param ends: (B,) positions after the last, of the same users.
        :returns: (B, L) each: ``Key.FEEDBACK`` and ``Key.GAP``, if the log has them.
        """
        columns = {Key.FEEDBACK: self.feedback, Key.GAP: self.gaps if self.has_times else None}
        there = {key: values for key, values in columns.items() if values is not None}
        return {key: padded(values, starts, ends) for key, values in there.items()}

    @cached_property
    def gaps(self) -> NDArray[np.int8]:
        """(E,) buckets of the times since the user's event before; 0 at a user's first event."""
        buckets = gap_buckets(np.diff(self.times, prepend=self.times[:1])).astype(np.int8)
        buckets[self.offsets[:-1][np.diff(self.offsets) > 0]] = 0
        return buckets


@dataclass(frozen=True)
class Targets:
    """Events to be predicted.

    :param items: (T,) int32.
    :param users: (T,) int64 rows of the user table.
    :param ends: (T,) int64 ends of their histories in :meth:`Sequences.all_events`.
    """

    items: NDArray[np.int32]
    users: Positions
    ends: Positions

    def only(self, kept: NDArray[np.bool_]) -> "Targets":
        """The targets that a (T,) mask selects."""
        return Targets(self.items[kept], self.users[kept], self.ends[kept])

    def thirds(self) -> tuple["Targets", "Targets"]:
        """Those of every third user, and of all others: one part judges what the other chose."""
        third = self.users % 3 == 0
        return self.only(third), self.only(~third)


GAP_BUCKETS: Final = 21
"""The highest bucket; 0 is an unknown gap."""


def gap_buckets(gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort time gaps into buckets that double in width.

    Bucket 1 is below a minute, bucket b from 2 to 20 is 2 ** (b - 2) minutes up to twice that, and
    bucket 21 is 2 ** 19 minutes (a day less than a year) and more.

    :param gaps: any shape, int64 milliseconds since the user's previous event.
    :returns: the same shape, int64, 1 to :data:`GAP_BUCKETS`.
    """
    return np.searchsorted(60_000 * 2 ** np.arange(GAP_BUCKETS - 1), gaps, side="right") + 1


OF_EVENTS: Final = (Key.HISTORY, Key.FEEDBACK, Key.GAP, Key.TIME)
"""What is known of each event of a history, (B, L)."""


def with_only(known: Mapping[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
    """Keep some events of histories; what came before one that is left out moves up.

    :param known: of B histories, or of one, ``Key.HISTORY`` (B, L) int64, padded on the left, and
        what else is known of them, of which :data:`OF_EVENTS` are of their events.
    :param kept: (B, L) bool.
    :returns: the same, all of B histories.
    """
    order = kept.to(torch.int8).sort(dim=1, stable=True).indices
    return {
        name: (table * kept).gather(1, order)
        if name in OF_EVENTS
        else table.expand(len(kept), *table.shape[1:])
        for name, table in known.items()
    }


def without_each(known: Mapping[str, Tensor], most: int) -> tuple[list[int], dict[str, Tensor]]:
    """A history as it is, and without each of its last events, the last one first.

    :param known: of one history, see :func:`with_only`.
    :param most: number of events that are left out in turn, at most.
    :returns: the items of the E events, and what is known of the E + 1 histories.
    """
    history = known[Key.HISTORY]
    events = history[0][history[0] != PADDING].flip(0)[:most].tolist()
    kept = torch.ones(len(events) + 1, history.shape[1], dtype=torch.bool)
    kept[1:] = ~torch.eye(history.shape[1], dtype=torch.bool).flip(0)[: len(events)]
    return events, with_only(known, kept)


def last_events(known: Mapping[str, Tensor], length: int) -> dict[str, Tensor]:
    """Keep the last events of histories; ``known`` as in :func:`with_only`."""
    return {n: table[:, -length:] if n in OF_EVENTS else table for n, table in known.items()}


def named_events(
    known: Mapping[str, Tensor], titles: Sequence[str], kinds: Sequence[str]
) -> list[tuple[str, str]]:
    """Name the events of one history, oldest first: each item's title and its kind of feedback.

    :param known: of one history; see :func:`with_only`.
    :param titles: N.
    :param kinds: of feedback, as in the store; where there are none, a kind is empty.
    """
    items = known[Key.HISTORY]
    rows = zip(*(x[0].tolist() for x in (items, known.get(Key.FEEDBACK, items * 0))), strict=True)
    names = ["", *kinds]
    return [(titles[item - 1], names[kind]) for item, kind in rows if 0 < item <= len(titles)]
