"""The store: a prepared log that all stages and all DataLoader workers map from disk.

``lightrec.data.prepare`` writes it; nothing here changes it.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.data.files import READ_VERSIONS, STAMP, mending, stamp, undamaged
from lightrec.data.schema import LOG_SCHEMA
from lightrec.data.types import Kind
from lightrec.errors import DataError
from lightrec.keys import PADDING, Column

Integers: TypeAlias = npt.NDArray[np.integer]

TRAIN, VALIDATION, TEST, CONTEXT, COLD = range(5)
"""The parts of a log. Events of CONTEXT may be in a history but are never a target; those of COLD,
of held-out items, are targets, but in no history."""
PARTS: Final = dict(zip(("train", "validation", "test", "context", "cold"), range(5), strict=True))

NEVER: Final = 2**63 - 1
"""When an item appears of which nobody knows."""
SESSION_GAP: Final = 30 * 60_000
"""Milliseconds without an event after which a new session begins, if the log has no sessions."""
_ARRAYS: Final = (Column.USER, Column.ITEM, Column.TIME, Column.CANDIDATES)
UNCHANGED: Final = tuple(name for name in LOG_SCHEMA if name not in _ARRAYS)
"""Columns of a log that the store holds unchanged; the others become arrays and tables."""
CATEGORIES: Final = 40
"""An attribute with more values than this is no category."""
META: Final = "meta.json"
READ: Final = "read"
"""In the store's folder: the tables as they were read, to which an update appends."""
LOG: Final = "log.arrow"
CATALOG: Final = "catalog.parquet"
USERS: Final = "users.parquet"


class EventStore:
    """A prepared log: the events of one user after another, oldest first.

    Arrays are read-only and memory-mapped, so that processes share them; only the path is pickled.
    Stages see a log through :attr:`without_cold`, so that none of them sees held-out items, and the
    last one, after which nothing is judged, through :attr:`whole`.

    :param folder: written by ``prepare``.
    :param cold: whether to include the events of held-out items.
    :param held_out: whether events are held out; otherwise all that may be learned are TRAIN.
    :raises DataError: if the folder holds no store, or one of another format version.
    """

    def __init__(self, folder: Path | str, cold: bool = True, held_out: bool = True) -> None:
        self.folder, self._views = Path(folder), (cold, held_out)
        self.meta: dict[str, Any] = _read_meta(self.folder)
        self.offsets: npt.NDArray[np.int64] = self._array("offsets")
        """(U + 1,) int64: user u's events are ``offsets[u]`` to ``offsets[u + 1] - 1``."""
        self.items: npt.NDArray[np.int32] = self._array("items")
        """(E,) int32: 1 to N, or N + 1 where the user chose nothing."""
        self.times: npt.NDArray[np.int64] = self._array("times")
        """(E,) int64: milliseconds since 1970 UTC; all 0 where the log has no times."""
        self.strengths: npt.NDArray[np.float32] = self._array("strengths")
        """(E,) float32: the event's value (else its count, else 1), times its feedback's weight."""
        self.parts: npt.NDArray[np.int8] = self._array("parts")
        """(E,) int8: TRAIN, VALIDATION, TEST, CONTEXT or COLD."""
        self.candidates: npt.NDArray[np.int32] | None = self._array("candidates")
        """(E, C) int32: what the user could choose from, padded with 0; None in logs without."""
        self.feedback_kinds: list[str] = self.meta["feedback"]
        """The kinds of feedback in the log if there are several; the first is number 1."""
        self.feedback: npt.NDArray[np.signedinteger[Any]] | None = self._array("feedback")
        """(E,) int8 or int16: each event's kind of feedback, 0 if nothing was chosen; None in logs
        with one kind."""
        self.leads: npt.NDArray[np.bool_] | None = self._array("leads")
        """(E,) bool: whether an event only led to one of the goal, see :mod:`lightrec.data.pairs`;
        None where no event did."""
        self.item_kinds: dict[str, Kind] = self.meta["item_kinds"]
        """The kind of each attribute of the items; see :mod:`lightrec.data.types`."""
        self.user_kinds: dict[str, Kind] = self.meta["user_kinds"]
        """The kind of each attribute of the users."""
        self.num_items: int = self.meta["counts"]["items"]
        """N, not counting padding and "chose nothing"."""
        self.num_users: int = len(self.offsets) - 1
        self.has_nothing: bool = self.meta["has_nothing"]
        """Whether the log records that a user chose nothing, as item N + 1."""
        self.repeats: bool = self.meta["settings"]["repeats"]
        """Whether an item may come again, according to the domain or the setting ``repeats``."""
        self.goal: list[str] = self.meta["settings"]["goal"]
        """The kinds of events that are to be brought about and are held out; empty: every kind."""
        self.has_users: bool = self.meta["has_users"]
        """Whether the log names users; otherwise they are invented, see ``prepare``."""
        self.has_times: bool = self.meta["order"] == "time"
        self.is_ordered: bool = self.has_times or self.meta["settings"]["equal_times"] == "file"
        """Whether the order of a user's events has a meaning, from their times or from the file."""
        self.has_cold: bool = cold and held_out and self.meta["counts"]["cold"] > 0
        """Whether there are events of held-out items."""
        self._kept: npt.NDArray[np.bool_] | None = None
        if not held_out:
            # Format version 4 has no targets; it left all others in CONTEXT.
            targets = self._array("targets") if self.meta["version"] > 4 else self.parts != CONTEXT
            self.parts = np.where(targets, TRAIN, CONTEXT).astype(np.int8)
        elif not cold and self.meta["counts"]["cold"]:
            self._take(self.in_histories)

    def __reduce__(self) -> tuple[type["EventStore"], tuple[Path, bool, bool]]:
        return EventStore, (self.folder, *self._views)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return (
            f"EventStore({str(self.folder)!r}, users={self.num_users}, items={self.num_items}, "
            f"events={len(self)})"
        )

    @cached_property
    def log(self) -> pl.DataFrame:
        """The log's other columns: one row per event, in the order of ``items``.

        The columns are those of :data:`UNCHANGED` that the log knows, with the types of
        ``lightrec.data.schema.LOG_SCHEMA``; feedback is an enumeration of names.
        """
        whole = pl.read_ipc(undamaged(self.folder / LOG))
        return whole if self._kept is None else whole.filter(self._kept)

    @cached_property
    def users(self) -> pl.DataFrame:
        """The user table in row order: ``user`` and any attributes."""
        return pl.read_parquet(undamaged(self.folder / USERS))

    @property
    def user_ids(self) -> pl.Series:
        """The users' own ids, in row order."""
        return self.users.get_column(Column.USER)

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """The items in order (row i - 1 is item i): item, title or null, text, attributes."""
        return pl.read_parquet(undamaged(self.folder / CATALOG))

    @cached_property
    def lookups(self) -> dict[str, Any]:
        """What was looked up in the catalog; see :class:`~lightrec.data.audience.Audience`."""
        return {}

    @cached_property
    def first_seen(self) -> npt.NDArray[np.int64]:
        """(N,) int64 milliseconds since 1970 UTC: when each item appeared.

        That is what its attribute ``created`` says (a date or datetime), or else the time of its
        first event. An item with neither appears :data:`NEVER`.
        """
        first = np.full(self.num_items + 2, NEVER)
        np.minimum.at(first, self.items, self.times)
        appeared = pl.Series(first[1:-1])
        if self.catalog.schema.get("created") in (pl.Date, pl.Datetime):
            appeared = self.catalog["created"].dt.epoch("ms").fill_null(appeared)
        return appeared.to_numpy()

    @cached_property
    def reaches(self) -> npt.NDArray[np.bool_]:
        """(E,) bool: whether an event is one of the goal; all are where there is no goal."""
        if not self.goal or self.feedback is None:
            return np.broadcast_to(np.True_, len(self))
        return np.isin(self.feedback, self.goal_kinds)

    @property
    def goal_kinds(self) -> tuple[int, ...]:
        """The numbers of the goal's kinds of feedback; none where there is no goal or one kind."""
        return tuple(n for n, kind in enumerate(self.feedback_kinds, 1) if kind in self.goal)

    @cached_property
    def seen(self) -> npt.NDArray[np.int32]:
        """(E,) int32: the item that must not come again after an event, 0 where none must not.

        Everything that leaves out what a user has seen goes by this: an item is seen once an event
        of the goal was about it (any event, where there is no goal), unless items may come again.
        """
        if self.repeats:
            return np.broadcast_to(np.int32(PADDING), len(self))
        return np.where(self.reaches, self.items, np.int32(PADDING)) if self.goal else self.items

    @property
    def in_sequence(self) -> npt.NDArray[np.bool_]:
        """(E,) bool: events in which an item was chosen, and that do more than lead to a goal."""
        chosen = np.asarray(self.items) <= self.num_items
        return chosen if self.leads is None else chosen & ~self.leads

    @property
    def in_histories(self) -> npt.NDArray[np.bool_]:
        """(E,) bool: whether an event may be in a history."""
        return np.asarray(self.parts) != COLD

    @cached_property
    def without_cold(self) -> "EventStore":
        """The log as stages see it: the same users and items, without events of held-out items.

        If nothing was held out, this is the store itself; otherwise positions differ.
        """
        return EventStore(self.folder, cold=False) if self.has_cold else self

    @property
    def whole(self) -> "EventStore":
        """The log as what is served has learned it: nothing is held out."""
        return EventStore(self.folder, held_out=False)

    @property
    def has_sessions(self) -> bool:
        """Whether the log names sessions."""
        return Column.SESSION in self.log.columns

    @cached_property
    def session_offsets(self) -> npt.NDArray[np.int64]:
        """(S + 1,) int64: the events of session s begin at ``session_offsets[s]``.

        Sessions are those that the log names. An event without a name belongs to the session before
        it unless half an hour has passed since; without times, all of a user's belong together.
        """
        names = self.log[Column.SESSION] if self.has_sessions else None
        begins = begin_sessions(self.offsets, names, self.times)
        return np.append(np.flatnonzero(begins), len(self)).astype(np.int64)

    def category(self, name: str | None = None) -> pl.Series | None:
        """Each item's category in words, (N,), null if unknown.

        Arguments and what counts as a category are those of :meth:`categories`.
        """
        plain = (Column.ITEM, Column.TITLE, Column.TEXT)
        for words in self.catalog.select([name] if name else pl.exclude(plain)):
            if isinstance(words.dtype, pl.List):
                words = words.list.first()
            if words.dtype not in (pl.String, pl.Categorical, pl.Enum):
                continue
            if name or 2 <= words.drop_nulls().n_unique() <= CATEGORIES:
                return words.cast(pl.String)
        return None

    @property
    def conversion(self) -> float:
        """The share of sessions with an event of the goal."""
        return float(np.add.reduceat(self.reaches, self.session_offsets[:-1]).astype(bool).mean())

    def categories(self, name: str | None = None) -> npt.NDArray[np.int64] | None:
        """The number of each item's category: (N + 1,) int64, -1 if unknown.

        A category is an attribute of words, or of lists of words, whose first word counts.

        :param name: of an attribute; None for the first with 2 to :data:`CATEGORIES` values.
        :returns: None if there is no such attribute.
        """
        if (words := self.category(name)) is None:
            return None
        ranks = words.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
        return np.append(-1, ranks - 1)

    def popularity(self, events: Integers | None = None) -> npt.NDArray[np.int64]:
        """How often each item was chosen in some events, or in training: (N + 1,) int64."""
        chosen = np.asarray(self.parts) == TRAIN if events is None else events
        counted = np.asarray(self.items)[chosen]
        return np.bincount(counted, minlength=self.num_items + 2)[: self.num_items + 1]

    def events(self, part: int) -> npt.NDArray[np.int64]:
        """The positions of a part's events, ascending."""
        return np.flatnonzero(np.asarray(self.parts) == part)

    def users_of(self, events: Integers) -> npt.NDArray[np.int64]:
        """The rows of the events' users: the same shape, int64."""
        return np.searchsorted(self.offsets, events, side="right") - 1

    def sessions_of(self, events: Integers) -> npt.NDArray[np.int64]:
        """The numbers of the events' sessions: the same shape, int64."""
        return np.searchsorted(self.session_offsets, events, side="right") - 1

    def train_ends(self) -> npt.NDArray[np.int64]:
        """Each user's first validation or test event, else the end of all: (U,) int64."""
        held_out = np.flatnonzero(np.isin(self.parts, (VALIDATION, TEST)))
        ends = np.array(self.offsets[1:])
        np.minimum.at(ends, self.users_of(held_out), held_out)
        return ends

    def histories(self, users: Integers, ends: Integers, length: int) -> npt.NDArray[np.int64]:
        """The last events of users before given positions.

        :param users: (B,) rows of users.
        :param ends: (B,) positions in ``items``; a history ends just before them.
        :param length: L.
        :returns: (B, L) int64 item indices, oldest first, padded with 0 on the left.
        """
        return padded(self.items, self.offsets[np.asarray(users)], np.asarray(ends), length)

    def _array(self, name: str) -> Any:
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r") if path.exists() else None

    def _take(self, kept: npt.NDArray[np.bool_]) -> None:
        """Keep only the events of a mask (E,)."""
        self._kept = kept
        self.offsets = np.concatenate([[0], np.cumsum(kept)])[self.offsets]
        for name in ("items", "times", "strengths", "parts", "candidates", "feedback", "leads"):
            if (column := getattr(self, name)) is not None:
                setattr(self, name, column[kept])


def begin_sessions(
    offsets: npt.NDArray[np.int64], names: pl.Series | None, times: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Find the events that begin a session, (E,) bool; see :attr:`EventStore.session_offsets`.

    :param names: (E,) of the sessions; None where the log names none.
    :param times: (E,) as in the store.
    """
    begins = np.isin(np.arange(len(times)), offsets)
    parted = np.diff(np.asarray(times)) > SESSION_GAP
    if names is not None:
        runs = pl.Series(np.cumsum(begins | np.append(False, parted)))
        frame = pl.DataFrame({"run": runs, "name": names})
        last = frame.select(pl.col("name").forward_fill().over("run").shift()).to_series()
        parted = (names != last).fill_null(pl.Series(np.append(False, parted))).to_numpy()[1:]
    begins[1:] |= parted
    return begins


def pieces(
    begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All events of S pieces of a log, such as sessions, one piece after another.

    :param begins: (S,) positions of the first events.
    :param ends: (S,) positions after the last; a piece may be empty.
    :returns: (E,) the number of each event's piece, and (E,) its position in the log.
    """
    lengths = ends - begins
    piece = np.repeat(np.arange(len(begins)), lengths)
    return piece, np.arange(len(piece)) + (ends - np.cumsum(lengths))[piece]


def padded(
    items: npt.NDArray[np.signedinteger[Any]],
    starts: npt.NDArray[np.int64],
    ends: Integers,
    length: int | None = None,
) -> npt.NDArray[np.int64]:
    """Cut pieces out of a long array, padded with 0 on the left.

    :param items: (E,).
    :param starts: (B,) first positions.
    :param ends: (B,) positions after the last.
    :param length: L; None for that of the longest piece, at least 1.
    :returns: (B, L) int64, the end of a piece that is longer.
    """
    if length is None:
        length = max(int((ends - starts).max(initial=1)), 1)
    positions = ends.astype(np.int64)[:, None] + np.arange(-length, 0)
    inside = positions >= starts[:, None]
    taken = items[np.where(inside, positions, 0)] if len(items) else np.zeros_like(positions)
    return np.where(inside, taken, PADDING).astype(np.int64)


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{folder} holds no prepared log; `lightrec run` writes one.") from None
    if meta.get("version") not in READ_VERSIONS:
        facts = [stamp(folder)] if (folder / STAMP).is_file() else []
        raise DataError(
            f"The prepared log in {folder} has format version {meta.get('version')}, and this "
            f"lightrec reads the versions {' and '.join(map(str, READ_VERSIONS))}. Make it again "
            f"with `{mending(folder.parent, *facts)}`."
        )
    return meta
