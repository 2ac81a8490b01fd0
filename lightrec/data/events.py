"""Events as arrays of integer codes: encoding, filtering, numbering and splitting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.log import HELD, InteractionLog
from lightrec.data.pairs import Codes, Mask, strongest_of_pairs, taken_back
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.errors import DataError
from lightrec.keys import PADDING, Column

Dropped: TypeAlias = dict[str, dict[str, int]]
"""How many events of each feedback were dropped, by the names of ``findings.LEFT_OUT``."""

NOTHING: Final = -1
"""Item code of an event in which the user chose nothing; also pads candidates."""

NO_TIME: Final = int(np.iinfo(np.int64).min)
"""Time of an event without one, in a log that has times."""


@dataclass
class Events:
    """Columns of a log's remaining events as integer codes, with the words of the codes."""

    log: InteractionLog
    rows: Codes
    """Row of the log."""
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    strengths: NDArray[np.float32]
    unwanted: Mask
    """Whether the event is about an item, and the weight of its feedback is negative."""
    candidates: NDArray[np.int32] | None
    feedback: Codes
    user_words: pl.Series
    item_words: pl.Series
    feedback_words: pl.Series
    goal: tuple[str, ...] = ()
    """The kinds of events that are to be brought about; none: every kind."""
    not_offered: int = 0
    fates: dict[str, Codes] = field(default_factory=dict)
    """The rows of the log that were dropped, by the names of ``findings.LEFT_OUT``."""

    def take(self, rows: Codes | Mask, why: str = "") -> None:
        """Keep these rows in this order.

        :param rows: positions, or a mask; a mask where there is a name.
        :param why: the name under which :attr:`fates` holds the others; empty for none.
        """
        if why:
            gone = np.ones(len(self.rows), bool)
            gone[rows] = False
            self.fates[why] = self.rows[gone]
            if not len(self.fates[why]):
                return
        for column in fields(self):
            values = getattr(self, column.name)
            if isinstance(values, np.ndarray):
                setattr(self, column.name, values[rows])

    @property
    def left_out(self) -> Dropped:
        """How many events of each feedback were dropped, the most first; empty for one kind."""
        if len(self.feedback_words) < 2:
            return {}
        kinds, dropped = self.log.events[Column.FEEDBACK], Dropped()
        for why, rows in self.fates.items():
            counts = kinds.gather(rows).value_counts().rows()
            counts.sort(key=lambda each: (-each[1], len(each[0]), each[0]))
            dropped |= {why: dict(counts)} if counts else {}
        return dropped

    def feedback_kinds(self) -> tuple[NDArray[np.signedinteger[Any]], list[str]]:
        """Number the remaining kinds of feedback from 1; 0 where nothing was chosen.

        :returns: (E,) the smallest integers that hold them, and the kinds' names in order.
        """
        chosen = self.items != NOTHING
        kinds = np.unique(self.feedback[chosen])
        numbers = np.zeros(len(self.feedback_words), np.min_scalar_type(-len(kinds) - 1))
        numbers[kinds] = np.arange(1, len(kinds) + 1)
        return numbers[self.feedback] * chosen, self.feedback_words.gather(kinds).to_list()

    @property
    def is_target(self) -> Mask:
        """(E,) whether an event may be a target: wanted, and with candidates if any event has."""
        if self.candidates is None:
            return ~self.unwanted
        return ~self.unwanted & (self.candidates != NOTHING).any(axis=1)

    @property
    def reaches(self) -> Mask:
        """(E,) whether an event is of a kind of the goal; every one is where there is no goal."""
        if not self.goal:
            return np.ones(len(self.users), bool)
        return self.feedback_words.is_in(self.goal).to_numpy()[self.feedback]


def encode(
    log: InteractionLog, weights: Mapping[str, float] | None, goal: Sequence[str] = ()
) -> Events:
    """Encode a log as arrays.

    ``strengths`` is the value (else the count, else 1) times the weight of the feedback, and NaN
    where that has no weight, or weight 0.
    """
    events, users = log.events, log.users()
    items, feedback = events[Column.ITEM], events[Column.FEEDBACK]
    offered = events[Column.CANDIDATES]
    has_candidates = log.has(Column.CANDIDATES)
    strengths = pl.coalesce(Column.VALUE, pl.col(Column.COUNT).cast(pl.Float64), pl.lit(1.0))
    if weights is not None:
        worth = {name: float(weight) or None for name, weight in weights.items()}
        kind = pl.col(Column.FEEDBACK)
        strengths *= kind.replace_strict(worth, default=None, return_dtype=pl.Float64)
    strengths = strengths.cast(pl.Float32).fill_null(float("nan")).alias("strength")
    user_words, feedback_words = _words(users), _words(feedback)
    shown = offered.explode().cast(items.dtype) if has_candidates else items.clear()
    item_words = _words(pl.concat([items, shown]))
    times = events[Column.TIME].to_physical().fill_null(NO_TIME).to_numpy()
    unwanted = [kind for kind, worth in (weights or {}).items() if worth < 0]
    return Events(
        log,
        rows=np.arange(len(log), dtype=np.min_scalar_type(len(log))),
        users=_codes(users, user_words),
        items=_codes(items, item_words),
        times=times if log.has(Column.TIME) else np.zeros_like(times),
        strengths=events.select(strengths).to_series().to_numpy(),
        # An offer that was declined as a whole is a decision, whatever its feedback is called.
        unwanted=(feedback.is_in(unwanted) & items.is_not_null()).to_numpy(),
        candidates=_matrix(offered, item_words) if has_candidates else None,
        feedback=_codes(feedback, feedback_words).astype(np.min_scalar_type(-len(feedback_words))),
        user_words=user_words,
        item_words=item_words,
        feedback_words=feedback_words,
        goal=tuple(goal),
    )


def _words(column: pl.Series) -> pl.Series:
    """The distinct ids, shorter ones first, so that numbers are in numerical order."""
    ids = column.drop_nulls().unique().cast(pl.String).to_frame("id")
    return ids.sort(pl.col("id").str.len_chars(), "id").get_column("id")


def _codes(column: pl.Series, words: pl.Series) -> NDArray[np.int32]:
    numbers = words.cast(pl.Categorical).to_physical().to_numpy()
    codes = np.full(int(numbers.max(initial=0)) + 2, NOTHING, np.int32)
    codes[numbers] = np.arange(len(words))
    return codes[column.to_physical().fill_null(len(codes) - 1).to_numpy()]


def _matrix(offered: pl.Series, words: pl.Series) -> NDArray[np.int32]:
    """Return (E, C) item codes, padded with NOTHING on the right."""
    sizes = offered.list.len().fill_null(0).to_numpy().astype(np.int64)
    matrix = np.full((len(sizes), int(sizes.max())), NOTHING, np.int32)
    there = np.arange(matrix.shape[1]) < sizes[:, None]
    matrix[there] = _codes(offered.filter(sizes > 0).explode().cast(pl.Categorical), words)
    return matrix


def number(events: Events) -> tuple[dict[str, NDArray[Any]], pl.Series, pl.Series]:
    """Number the remaining users and items without gaps; "nothing" becomes N + 1.

    :returns: the arrays of a store, the ids of the items and those of the users.
    """
    there = np.zeros(len(events.item_words) + 1, bool)
    there[events.items] = True
    if events.candidates is not None:
        there[events.candidates] = True
    there[NOTHING] = False
    numbers = np.cumsum(there).astype(np.int32)
    numbers[NOTHING] = numbers[-1] + 1
    users, counts = np.unique(events.users, return_counts=True)
    arrays: dict[str, NDArray[Any]] = {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "items": numbers[events.items],
        "times": events.times,
        "strengths": events.strengths,
    }
    if events.candidates is not None:
        numbers[NOTHING] = PADDING
        arrays["candidates"] = numbers[events.candidates]
    item_ids = events.item_words.gather(np.flatnonzero(there))
    return arrays, item_ids, events.user_words.gather(users)


def drop(
    events: Events,
    *,
    repeats: bool,
    minimum_value: float | None = None,
    shuffle_seed: int | None = None,
) -> None:
    """Drop events that do not count, and sort the others by user and time.

    Without times duplicates look like repetitions, and none is dropped.

    :param repeats: whether an item may come again in a history.
    :param shuffle_seed: draws the order of equal times; None leaves them in file order.
    """
    log = events.log
    has_times = log.has(Column.TIME)
    events.take(events.users != NOTHING, "dropped_without_user")
    if has_times:
        events.take(events.times != NO_TIME, "dropped_without_time")
    events.take(~np.isnan(events.strengths), "dropped_without_weight")
    if minimum_value is not None:
        stays = (events.strengths >= minimum_value) | (events.items == NOTHING) | events.unwanted
        events.take(stays, "dropped_below_minimum")
    # lexsort is stable, so equal times stay in the order they had.
    events.take(np.lexsort((events.times, events.users)))
    if has_times:
        events.take(_first_of_equal(events), "dropped_duplicate")
    if shuffle_seed is not None:
        events.take(np.random.default_rng(shuffle_seed).permutation(np.argsort(events.rows)))
        events.take(np.lexsort((events.times, events.users)))
    if events.candidates is None:
        # With propensities every row is a decision of its own.
        if not repeats and not log.has(Column.PROPENSITY):
            back, reaches = taken_back(events), events.reaches
            stays = ~reaches  # what does not reach the goal may come again
            which = slice(None) if reaches.all() else reaches  # as a copy takes memory
            worth = np.where(back, -np.inf, events.strengths) if back.any() else events.strengths
            pairs = events.users[which], events.items[which]
            stays[which] = strongest_of_pairs(*pairs, worth[which])
            del pairs, worth
            # Where only the goal's events are paired, what was taken back was had all the same.
            events.unwanted |= back & reaches
            events.take(stays, "dropped_repeated")
    else:
        offered = (events.candidates == events.items[:, None]).any(axis=1)
        # A choice that was not on offer cannot be explained by the offer: it is history only.
        lost = ~offered & (events.items != NOTHING) & events.is_target
        events.candidates[lost] = NOTHING
        events.not_offered = int(lost.sum())


def drop_rare(events: Events, least: int) -> None:
    """Drop what the k-core does not have, after :func:`drop`.

    :param least: the k of the k-core; up to 1 for no limit.
    """
    has_users = events.log.has(Column.USER)
    if least > 1 and events.candidates is None:
        users = events.users if has_users else events.items  # synthetic users do not count
        events.take(k_core(users, events.items, least), "dropped_k_core")
    elif least > 1 and len(events.users) and has_users:
        decisions = np.bincount(events.users, weights=events.is_target)
        events.take(decisions[events.users] >= least, "dropped_k_core")


def _first_of_equal(events: Events) -> Mask:
    """Find the events, ordered by user and time, that do not duplicate an earlier one."""
    # Only events that share user and time with a neighbour can be duplicates; most logs have few.
    shared = np.flatnonzero(tied(events.users, events.times))
    columns: list[Codes] = [events.users, events.times, events.items, events.feedback]
    if events.candidates is not None:
        columns.extend(events.candidates.T)
    rows = pl.DataFrame({str(n): column[shared] for n, column in enumerate(columns)})
    first = np.ones(len(events.users), bool)
    first[shared] = rows.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return first


def tied(users: Codes, times: Codes) -> Mask:
    """(E,) whether an event, of those sorted by user and time, shares both with a neighbour."""
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    return (np.pad(same, (0, 1)) | np.pad(same, (1, 0)))[: len(users)]


def k_core(users: Codes, items: Codes, k: int) -> Mask:
    """Find the largest set of events in which every user and every item has at least k events.

    :param users: (E,) codes from 0, as ``items``.
    :returns: (E,) bool, which events stay.
    """
    keep, left = np.ones(len(users), bool), -1
    while left != keep.sum():
        left = keep.sum()
        for codes in (users, items):
            counts = np.bincount(codes[keep], minlength=int(codes.max(initial=0)) + 1)
            keep &= counts[codes] >= k
    return keep


def split_up(
    events: Events,
    arrays: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    visits: NDArray[np.int64] | None = None,
) -> NDArray[np.int8]:
    """Assign each event to a part (E,), by the arrays of :func:`number` and prepare's settings.

    :param visits: (E,) of :func:`lightrec.data.pairs.visited`, in a log where something leads to
        the goal: what led to a held-out event is not trained on, and where the split is not by
        time, what nothing else comes before is not held out.
    :raises DataError: if there is no event to train on.
    """
    offsets, is_target = arrays["offsets"], events.is_target
    goal = is_target & events.reaches
    if visits is not None and settings["split"] != "global-time":
        frame = pl.DataFrame({"user": events.users, "visit": visits, "n": is_target.astype(int)})
        user, visit = (pl.col("n").cum_sum().over(whose) for whose in ("user", "visit"))
        goal &= frame.select(user > visit).to_series().to_numpy()
    if settings["split"] == "leave-one-out":
        parts = leave_one_out(offsets, is_target, goal)
    elif settings["split"] == "item-cold":
        drawn = settings["cold_fraction"], settings["seed"]
        parts = item_cold(arrays["items"], offsets, is_target, goal, *drawn)
    else:
        fractions = settings["validation_fraction"], settings["test_fraction"]
        parts = global_time(events.times, is_target, goal, *fractions)
    if visits is not None:
        held_out = np.isin(parts, (VALIDATION, TEST))
        parts[(parts == TRAIN) & np.isin(visits, visits[held_out])] = CONTEXT
    if TRAIN not in parts:
        raise DataError("The split leaves no event to train on; the log is too small for it.")
    return parts


def leave_one_out(offsets: NDArray[np.int64], is_target: Mask, goal: Mask) -> NDArray[np.int8]:
    """Assign each user's last event to test, the one before to validation, all others to training.

    With a goal, the last events of the goal are held out, and what follows the first of them is
    CONTEXT. A user always has a training event: what has none before it is not held out.

    :param offsets: (U + 1,) where each user's events begin.
    :param is_target: (E,) whether an event may be a target; the others are CONTEXT.
    :param goal: (E,) whether it may be held out: a target, and where there is a goal, of the goal.
    :returns: (E,) int8 parts.
    """
    parts = np.empty(len(is_target), np.int8)
    cuts = np.searchsorted(offsets, np.arange(0, len(parts) + HELD, HELD))
    cuts = np.unique(np.minimum(cuts, len(offsets) - 1))
    for begin, end in pairwise(cuts):  # of the users: what follows takes ten bytes an event
        users, rows = offsets[begin : end + 1], slice(offsets[begin], offsets[end])
        parts[rows] = _leave_one_out(users - users[0], is_target[rows], goal[rows])
    return parts


def _leave_one_out(offsets: NDArray[np.int64], is_target: Mask, goal: Mask) -> NDArray[np.int8]:
    parts = np.where(is_target, np.int8(TRAIN), np.int8(CONTEXT))
    number, lengths = np.min_scalar_type(len(parts)), np.diff(offsets)
    before = np.zeros(len(parts) + 1, number)
    np.cumsum(is_target, out=before[1:])
    follows = before[:-1] > np.repeat(before[offsets[:-1]], lengths)
    # The n-th event that may be held out is where the count of these becomes n.
    np.cumsum(goal & follows, out=before[1:])
    ends, counts = before[offsets[1:]], np.diff(before[offsets])
    first, step = np.array(offsets[1:]), np.zeros(len(parts) + 1, np.int8)
    for latest, part in ((1, TEST), (2, VALIDATION)):
        users = counts >= latest
        first[users] = np.searchsorted(before, ends[users] - (latest - 1)) - 1
        parts[first[users]] = part
    step[first[counts >= 1] + 1] += 1
    step[offsets[1:][counts >= 1]] -= 1
    parts[(parts == TRAIN) & (np.cumsum(step[:-1], dtype=np.int8) > 0)] = CONTEXT
    return parts


def global_time(
    times: NDArray[np.int64], is_target: Mask, goal: Mask, validation: float, test: float
) -> NDArray[np.int8]:
    """Assign the last stretch of time to test, the one before to validation, the rest to training.

    Events with equal times are in the same part. With a goal, the other events of the held-out time
    are CONTEXT.

    :param times: (E,) milliseconds; ``is_target`` and ``goal`` as for :func:`leave_one_out`.
    :param validation: a fraction of the time between the first and the last event, as ``test`` is.
    :returns: (E,) int8 parts.
    """
    first, last = int(times.min()), int(times.max())
    test_from = last - (last - first) * test
    validation_from = test_from - (last - first) * validation
    late = times > validation_from
    rules = [~is_target | (late & ~goal), times > test_from, late]
    return np.select(rules, [CONTEXT, TEST, VALIDATION], TRAIN).astype(np.int8)


def item_cold(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    is_target: Mask,
    goal: Mask,
    fraction: float,
    seed: int,
) -> NDArray[np.int8]:
    """Leave-one-out among most items; all events of the others, drawn uniformly, are COLD.

    :param items: (E,) item indices; the other arrays are as for :func:`leave_one_out`.
    :param fraction: of the items, of those with an event of the goal, rounded down, held out.
    :returns: (E,) int8 parts.
    """
    there = np.unique(items[goal])
    drawn = np.random.default_rng(seed).permutation(there)[: int(len(there) * fraction)]
    cold = np.isin(items, drawn) & is_target
    parts = leave_one_out(offsets, is_target & ~cold, goal & ~cold)
    parts[cold] = COLD
    return parts
