"""Events as integer codes: from the log's tables to arrays, and to numbers without gaps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.data.log import InteractionLog
from lightrec.keys import PADDING, Column

NOTHING: Final = -1
"""Item code of an event in which the user chose nothing; fills candidates up, too."""

NO_TIME: Final = int(np.iinfo(np.int64).min)
"""Time of an event without one, in a log that has times."""


@dataclass
class Events:
    """Columns of the events that are still in, as integer codes, with the codes' words."""

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    candidates: npt.NDArray[np.int32] | None
    feedback: npt.NDArray[np.int32]
    user_words: pl.Series
    item_words: pl.Series
    feedback_words: pl.Series
    sessions: npt.NDArray[np.int32] | None = field(default=None)
    not_offered: int = field(default=0)

    def take(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Keep these rows (positions or a mask) in this order.

        :returns: (F,) how many of each feedback went, in the order of ``feedback_words``.
        """
        before = self._by_feedback()
        self.users, self.items = self.users[rows], self.items[rows]
        self.times, self.values = self.times[rows], self.values[rows]
        self.feedback = self.feedback[rows]
        if self.candidates is not None:
            self.candidates = self.candidates[rows]
        if self.sessions is not None:
            self.sessions = self.sessions[rows]
        return before - self._by_feedback()

    def _by_feedback(self) -> npt.NDArray[np.int64]:
        return np.bincount(self.feedback, minlength=len(self.feedback_words)).astype(np.int64)

    def feedback_kinds(self) -> tuple[npt.NDArray[np.signedinteger[Any]], list[str]]:
        """Number the kinds of feedback that are left from 1; 0 where nothing was chosen.

        :returns: (E,) the smallest integers that hold them, and the kinds' names in order.
        """
        chosen = self.items != NOTHING
        kinds = np.unique(self.feedback[chosen])
        kinds = kinds[kinds != NOTHING]
        numbers = np.zeros(len(self.feedback_words) + 1, np.min_scalar_type(-len(kinds) - 1))
        numbers[kinds] = np.arange(1, len(kinds) + 1)
        return numbers[self.feedback] * chosen, self.feedback_words.gather(kinds).to_list()

    @property
    def is_target(self) -> npt.NDArray[np.bool_]:
        """All events, or in a log with candidates those that have some."""
        if self.candidates is None:
            return np.ones(len(self.users), bool)
        return (self.candidates != NOTHING).any(axis=1)


def encode(log: InteractionLog, weights: Mapping[str, float] | None) -> Events:
    """Turn a log's ids into codes.

    :param weights: weight of each feedback; ``values`` is NaN where the feedback has none, or 0.
    """
    events = log.events
    user_words = _words(events[Column.USER])
    feedback_words = _words(events[Column.FEEDBACK])
    offered = events[Column.CANDIDATES]
    has_candidates = log.has(Column.CANDIDATES)
    item_words = _words(
        events[Column.ITEM],
        *([offered.filter(offered.list.len() > 0).explode()] if has_candidates else []),
    )
    times = events[Column.TIME].to_physical().fill_null(NO_TIME)
    if not log.has(Column.TIME):
        times = pl.Series([0]).new_from_index(0, len(log))
    return Events(
        users=_codes(events[Column.USER], user_words),
        items=_codes(events[Column.ITEM], item_words),
        times=times.to_numpy(),
        values=_strength(events, weights),
        candidates=_matrix(offered, item_words) if has_candidates else None,
        feedback=_codes(events[Column.FEEDBACK], feedback_words),
        user_words=user_words,
        item_words=item_words,
        feedback_words=feedback_words,
        sessions=_sessions(events[Column.SESSION]) if log.has(Column.SESSION) else None,
    )


def _words(*columns: pl.Series) -> pl.Series:
    """The distinct ids, shorter ones first, so that numbers come in numerical order."""
    ids = pl.concat([c.drop_nulls().unique() for c in columns]).unique().to_frame("id")
    return ids.sort(pl.col("id").str.len_chars(), "id").get_column("id")


def _codes(column: pl.Series, words: pl.Series) -> npt.NDArray[np.int32]:
    codes = column.cast(pl.Enum(words)).to_physical().cast(pl.Int32)
    return codes.fill_null(NOTHING).to_numpy()


def _sessions(column: pl.Series) -> npt.NDArray[np.int32]:
    """Number the sessions' names from 1; -1 where none is named."""
    numbers = column.rank("dense").cast(pl.Int32).fill_null(NOTHING)
    return numbers.to_numpy()


def _matrix(offered: pl.Series, words: pl.Series) -> npt.NDArray[np.int32]:
    """(E, C) item codes, filled up with NOTHING on the right."""
    sizes = offered.list.len().fill_null(0).to_numpy().astype(np.int64)
    codes = _codes(offered.filter(offered.list.len() > 0).explode(), words)
    matrix = np.full((len(sizes), int(sizes.max())), NOTHING, np.int32)
    matrix[np.arange(matrix.shape[1]) < sizes[:, None]] = codes
    return matrix


def _strength(events: pl.DataFrame, weights: Mapping[str, float] | None) -> npt.NDArray[np.float32]:
    """Value, else count, else 1, times the feedback's weight; NaN where that is 0 or missing."""
    strength = pl.coalesce(Column.VALUE, pl.col(Column.COUNT).cast(pl.Float64), pl.lit(1.0))
    if weights is not None:
        counted = {name: float(weight) for name, weight in weights.items() if weight}
        weight = pl.col(Column.FEEDBACK).replace_strict(
            list(counted),
            list(counted.values()),
            default=None,
            return_dtype=pl.Float64,
        )
        strength = strength * weight
    strength = strength.cast(pl.Float32).fill_null(float("nan")).alias("strength")
    return events.select(strength).to_series().to_numpy()


def number(events: Events) -> tuple[dict[str, npt.NDArray[Any]], pl.Series, pl.Series]:
    """Number what is left of users and items without gaps; "nothing" becomes N + 1."""
    used = [events.items] if events.candidates is None else [events.items, events.candidates]
    there = np.zeros(len(events.item_words) + 1, bool)
    for codes in used:
        there[codes] = True
    there[NOTHING] = False
    numbers = np.cumsum(there).astype(np.int32)
    num_items = int(numbers[-1])
    users, counts = np.unique(events.users, return_counts=True)
    numbers[NOTHING] = num_items + 1
    arrays: dict[str, npt.NDArray[Any]] = {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "items": numbers[events.items],
        "times": events.times,
        "values": events.values,
    }
    if events.candidates is not None:
        numbers[NOTHING] = PADDING
        arrays["candidates"] = numbers[events.candidates]
    if events.sessions is not None:
        arrays["sessions"] = events.sessions
    item_ids = events.item_words.gather(np.flatnonzero(there))
    return arrays, item_ids, events.user_words.gather(users)
