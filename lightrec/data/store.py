"""The memory-mapped form of a prepared log, which all stages and all DataLoader workers share.

``lightrec.data.prepare`` writes it; nothing here changes it.
"""

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.ipc

from lightrec.data.run_folder import STAMP, mending, stamp
from lightrec.errors import DataError
from lightrec.keys import PADDING, Column

Integers: TypeAlias = npt.NDArray[np.integer]

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
CONTEXT: Final = 3
"""Events that may stand in a history but are never a target."""

COLD: Final = 4
"""Events of items that were kept out of everything else: targets, and in nobody's history."""

PARTS: Final = {
    "train": TRAIN,
    "validation": VALIDATION,
    "test": TEST,
    "context": CONTEXT,
    "cold": COLD,
}

FORMAT_VERSION: Final = 2
SESSION_GAP: Final = 30 * 60_000
"""Milliseconds without an event after which another session begins, where no log says better."""
SAID: Final = (
    Column.FEEDBACK,
    Column.VALUE,
    Column.COUNT,
    Column.SESSION,
    Column.IMPRESSION,
    Column.POSITION,
    Column.PROPENSITY,
)
"""Columns of a log that the store keeps as they are; the others are its arrays and tables."""
CATEGORIES: Final = 40
"""An attribute with more values than this is no category."""
META: Final = "meta.json"
LOG: Final = "log.arrow"
CATALOG: Final = "catalog.parquet"
USERS: Final = "users.parquet"


class EventStore:
    """A prepared log: every user's events one after the other, oldest first.

    Arrays are opened read-only and memory-mapped, so that processes share them. A pickled store is
    only the path of its folder.

    Stages see a log through :attr:`without_cold`, so that none of them meets what was kept out.

    :param folder: what ``prepare`` wrote.
    :param cold: whether the events of items that were kept out are there, too.
    :raises DataError: where the folder holds no store, or one of another format version.
    """

    def __init__(self, folder: Path | str, *, cold: bool = True) -> None:
        self.folder, self._cold = Path(folder), cold
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
        self.candidates: npt.NDArray[np.int32] | None = (
            self._array("candidates") if self.meta["has_candidates"] else None
        )
        """(E, C) int32: what the user could choose from, 0-padded; None in logs without."""
        self.feedback_kinds: list[str] = self.meta["feedback"]
        """The kinds of feedback in the log, where it has more than one; the first is number 1."""
        self.feedback: npt.NDArray[np.signedinteger[Any]] | None = (
            self._array("feedback") if self.feedback_kinds else None
        )
        """(E,) int8 or int16: each event's kind of feedback, 0 where nothing was chosen; None in
        logs with one kind."""
        self.num_items: int = self.meta["counts"]["items"]
        """N, not counting padding and "chose nothing"."""
        self.num_users: int = len(self.offsets) - 1
        self.has_nothing: bool = self.meta["has_nothing"]
        """Whether the log records that a user chose nothing, as item N + 1."""
        self._kept: npt.NDArray[np.bool_] | None = None
        if not cold and self.meta["counts"]["cold"]:
            self._take(self.in_histories)

    @classmethod
    def open(cls, folder: Path | str) -> "EventStore":
        """Open the store in a folder.

        :raises DataError: where the folder holds no store, or one of another format version.
        """
        return cls(folder)

    def __reduce__(self) -> tuple[Callable[..., "EventStore"], tuple[Path, bool]]:
        return _open, (self.folder, self._cold)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return (
            f"EventStore({str(self.folder)!r}, users={self.num_users}, items={self.num_items}, "
            f"events={len(self)})"
        )

    @cached_property
    def log(self) -> pl.DataFrame:
        """What the log says of each event, one row an event, mapped from disk.

        Those of these columns that the log knows, null where it does not: feedback (an enumeration
        of names), value, count, session, impression, position and propensity, with the types of
        ``lightrec.data.schema.LOG_SCHEMA`` and not rounded.
        """
        # PyArrow maps the file, and polars takes the columns over where they are.
        with pa.memory_map(str(self.folder / LOG)) as file:
            whole = pl.DataFrame(pa.ipc.open_file(file).read_all())
        return whole if self._kept is None else whole.filter(self._kept)

    @cached_property
    def users(self) -> pl.DataFrame:
        """The user table in row order: ``user`` and, where known, attributes."""
        return pl.read_parquet(self.folder / USERS)

    @property
    def user_ids(self) -> pl.Series:
        """The users' own ids, in row order."""
        return self.users.get_column(Column.USER)

    @cached_property
    def catalog(self) -> pl.DataFrame:
        """The item table in index order (row i - 1 is item i).

        Columns: item, title (may be null), text (never null), and the attributes.
        """
        return pl.read_parquet(self.folder / CATALOG)

    @property
    def repeats(self) -> bool:
        """Whether an item may come again in a session and in a history, as the domain says."""
        return bool(self.meta["settings"]["repeats"])

    @property
    def has_cold(self) -> bool:
        """Whether there are events of items that were kept out of everything else."""
        return self._cold and bool(self.meta["counts"]["cold"])

    @property
    def in_histories(self) -> npt.NDArray[np.bool_]:
        """(E,) whether an event may stand in a history: all do but those of cold items."""
        return np.asarray(self.parts) != COLD

    @cached_property
    def without_cold(self) -> "EventStore":
        """The log as stages see it: the same users and items, and only events of histories.

        Where nothing was kept out, that is the store itself; elsewhere positions are others.
        """
        return EventStore(self.folder, cold=False) if self.has_cold else self

    @property
    def has_users(self) -> bool:
        """Whether the log says who; if not, the users are made up, see ``prepare``."""
        return bool(self.meta["has_users"])

    @property
    def has_sessions(self) -> bool:
        """Whether the log names sessions."""
        return Column.SESSION in self.log.columns

    @property
    def has_times(self) -> bool:
        """Whether the log has times."""
        return bool(self.meta["order"] == "time")

    @property
    def is_ordered(self) -> bool:
        """Whether the order of a user's events means something, by their times or by the file."""
        return self.has_times or self.meta["settings"]["equal_times"] == "file"

    @cached_property
    def session_offsets(self) -> npt.NDArray[np.int64]:
        """(S + 1,) int64: session s's events are ``session_offsets[s]`` to before the next.

        Sessions are those that the log names. Where it names none, a session goes on until half an
        hour passes without an event; without times, all of a user's events are one.
        """
        begins = np.zeros(len(self), bool)
        begins[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        if self.has_sessions:
            names = self.log[Column.SESSION]
            begins[1:] |= names.ne_missing(names.shift()).to_numpy()[1:]
        elif self.has_times:
            begins[1:] |= np.diff(np.asarray(self.times)) > SESSION_GAP
        return np.append(np.flatnonzero(begins), len(self)).astype(np.int64)

    def categories(self, name: str | None = None) -> npt.NDArray[np.int64] | None:
        """(N + 1,) int64: the items' categories, numbered; -1 where none is known. None without.

        A category is an attribute of words that has few values; of lists of words, their first.

        :param name: of an attribute; None takes the first with 2 to :data:`CATEGORIES` values.
        """
        for column in [name] if name else self.catalog.columns:
            if column in (Column.ITEM, Column.TITLE, Column.TEXT):
                continue
            words = self.catalog.get_column(column)
            if isinstance(words.dtype, pl.List):
                words = words.list.first()
            if not isinstance(words.dtype, pl.String | pl.Categorical | pl.Enum):
                continue
            words = words.cast(pl.String)
            distinct = words.drop_nulls().unique().sort()
            if name or 2 <= len(distinct) <= CATEGORIES:
                codes = words.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).fill_null(-1)
                return np.concatenate([[-1], codes.to_numpy()]).astype(np.int64)
        return None

    def popularity(self, events: Integers | None = None) -> npt.NDArray[np.int64]:
        """(N + 1,) int64: how often each item was chosen.

        :param events: positions of the events that count; None for all training events.
        """
        counted = np.asarray(self.items)[self.events(TRAIN) if events is None else events]
        return np.bincount(counted, minlength=self.num_items + 2)[: self.num_items + 1]

    def events(self, part: int) -> npt.NDArray[np.int64]:
        """Positions of a part's events, ascending."""
        return np.flatnonzero(np.asarray(self.parts) == part)

    def users_of(self, events: Integers) -> npt.NDArray[np.int64]:
        """Rows of the users to whom events belong: the same shape, int64."""
        return np.searchsorted(self.offsets, events, side="right") - 1

    def train_ends(self) -> npt.NDArray[np.int64]:
        """(U,) int64: where each user's training events end.

        That is the position of the user's first validation or test event, or the end of the user's
        events where there is none. A user without training events has ``offsets[u]``.
        """
        parts = np.asarray(self.parts)
        held_out = np.flatnonzero((parts == VALIDATION) | (parts == TEST))
        ends = np.array(self.offsets[1:])
        owners = self.users_of(held_out)
        # Backwards, so that the first held-out event of a user is what stays.
        ends[owners[::-1]] = held_out[::-1]
        return ends

    def histories(self, users: Integers, ends: Integers, length: int) -> npt.NDArray[np.int64]:
        """The last events before given positions.

        :param users: (B,) rows of users.
        :param ends: (B,) positions in ``items``; the history of row b ends just before
            ``ends[b]``, and takes nothing from before the user's first event.
        :param length: L.
        :returns: (B, L) int64 item indices, oldest first, padded with 0 on the left.
        """
        ends = np.asarray(ends, dtype=np.int64)
        starts = self.offsets[np.asarray(users)]
        positions = ends[:, None] + np.arange(-length, 0)
        inside = positions >= starts[:, None]
        taken = self.items[np.where(inside, positions, 0)]
        return np.where(inside, taken, PADDING).astype(np.int64)

    def _array(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def _take(self, kept: npt.NDArray[np.bool_]) -> None:
        """Keep the events of a mask (E,) alone."""
        self._kept = kept
        self.offsets = np.concatenate([[0], np.cumsum(kept)])[self.offsets]
        for name in ("items", "times", "strengths", "parts", "candidates", "feedback"):
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[kept])


def _open(folder: Path, cold: bool) -> EventStore:
    return EventStore(folder, cold=cold)


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"There is no prepared log in {folder}; 'lightrec run' or "
            "lightrec.data.prepare.prepare() writes one."
        ) from None
    if meta.get("version") != FORMAT_VERSION:
        facts = [stamp(folder)] if (folder / STAMP).is_file() else []
        raise DataError(
            f"The prepared log in {folder} has format version {meta.get('version')}, and this "
            f"lightrec reads version {FORMAT_VERSION}. Make it anew with "
            f"`{mending(folder.parent, *facts)} --fresh`."
        )
    return meta
