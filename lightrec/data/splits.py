"""The splits into training, validation and test: leave-one-out, global-time and item-cold."""

import numpy as np
import numpy.typing as npt

from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION


def leave_one_out(
    offsets: npt.NDArray[np.int64], is_target: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """Assign each user's last event to test, the one before to validation, all others to training.

    A user always has a training event: with two events there is no validation event, and with one
    no test event either.

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
    """Assign the last stretch of time to test, the one before to validation, the rest to training.

    The fractions are of the time between the first and the last event, not of the events. Events
    with equal times are in the same part.

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
    """Leave-one-out among most items; all events of the others, drawn uniformly, are held out.

    :param items: (E,) item indices.
    :param offsets: (U + 1,) where each user's events begin.
    :param is_target: (E,) whether an event may be a target.
    :param fraction: of the items, rounded down, held out.
    :returns: (E,) int8 parts; the events of held-out items are COLD.
    """
    there = np.unique(items[is_target])
    drawn = np.random.default_rng(seed).permutation(there)[: int(len(there) * fraction)]
    cold = np.isin(items, drawn) & is_target
    parts = leave_one_out(offsets, is_target & ~cold)
    parts[cold] = COLD
    return parts
