"""Which events train, validate and test: leave-one-out, global-time and item-cold splits."""

import numpy as np
import numpy.typing as npt

from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION


def leave_one_out(
    offsets: npt.NDArray[np.int64], is_target: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """Each user's last event tests, the one before validates, all others train.

    A user keeps at least one training event: with two events there is no validation event, with
    one there is no test event either.

    :param offsets: (U + 1,) where each user's events begin.
    :param is_target: (E,) whether an event may be a target; those that may not become CONTEXT and
        are not counted.
    :returns: (E,) int8 parts.
    """
    parts = np.where(is_target, TRAIN, CONTEXT).astype(np.int8)
    targets = np.flatnonzero(is_target)
    # Boundaries of users among the targets alone.
    bounds = np.searchsorted(targets, offsets)
    counts, ends = np.diff(bounds), bounds[1:]
    parts[targets[ends[counts >= 2] - 1]] = TEST
    parts[targets[ends[counts >= 3] - 2]] = VALIDATION
    return parts


def global_time(
    times: npt.NDArray[np.int64],
    is_target: npt.NDArray[np.bool_],
    validation_fraction: float,
    test_fraction: float,
) -> npt.NDArray[np.int8]:
    """The last stretch of the log's time tests, the stretch before validates, the rest trains.

    The fractions are of the time between the first and the last event, not of the events. Events
    of one moment fall into one part.

    :param times: (E,) milliseconds.
    :param is_target: (E,) whether an event may be a target; the others become CONTEXT.
    :returns: (E,) int8 parts.
    """
    first, last = int(times.min()), int(times.max())
    span = last - first
    test_from = last - span * test_fraction
    validation_from = test_from - span * validation_fraction
    parts = np.full(len(times), TRAIN, np.int8)
    parts[times > validation_from] = VALIDATION
    parts[times > test_from] = TEST
    parts[~is_target] = CONTEXT
    return parts


def item_cold(
    items: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    is_target: npt.NDArray[np.bool_],
    fraction: float,
    seed: int,
) -> npt.NDArray[np.int8]:
    """Leave-one-out among most items; all events of the others, drawn evenly, are kept out.

    :param items: (E,) item indices.
    :param offsets: (U + 1,) where each user's events begin.
    :param is_target: (E,) whether an event may be a target.
    :param fraction: of the items, rounded down, that are kept out.
    :returns: (E,) int8 parts; the events kept out are COLD.
    """
    there = np.unique(items[is_target])
    drawn = np.random.default_rng(seed).permutation(there)[: int(len(there) * fraction)]
    cold = np.isin(items, drawn) & is_target
    parts = leave_one_out(offsets, is_target & ~cold)
    parts[cold] = COLD
    return parts
