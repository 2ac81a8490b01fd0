"""What orders a user's events: equal times, and files that were sorted by something else."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lightrec.data.events import Events, Mask, tied
from lightrec.keys import Column

DAY: Final = 86_400_000
PAIRS: Final = 50
"""With fewer neighbours an order may be chance."""
SORTED: Final = 0.95
"""Share of neighbours in one order from which a file counts as sorted."""
LEANING: Final = 0.6
"""Share from which part of it may be."""


def ties(events: Events) -> dict[str, int]:
    """Count what shares its user's moment with another event; all 0 in a log without times.

    :param events: sorted by user and time.
    """
    shared, there = tied(events.users, events.times), events.log.has(Column.TIME)
    dates = not (events.times % DAY).any()
    last = np.append(events.users[1:] != events.users[:-1], True)[: len(shared)]
    return {
        "events_at_one_time": int(shared.sum()) * (there and not dates),
        "events_on_one_day": int(shared.sum()) * (there and dates),
        "users_with_tied_end": int((shared & last).sum()) * there,
    }


def order_note(events: Events) -> str:
    """Say what a file was sorted by, where nothing but its order says which event came first.

    :param events: sorted by user and time, and otherwise in the order of the file.
    :returns: whole sentences; empty where nothing points to a sorted file.
    """
    has_times = events.log.has(Column.TIME)
    which = "Events of a user at the same time" if has_times else "The events of a user"
    users, times = events.users, events.times
    pairs = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    found = [(share, words) for share, words in _orders(events, pairs) if share >= LEANING]
    if not found:
        return _reversed(events, pairs) if has_times else ""
    share, words = max(found, key=lambda order: order[0])
    if share < SORTED:
        return (
            f"{which} lean to {words}: {share:.0%} of neighbours are in that order, and 50% would "
            "be chance. Either newer items have later ids, or part of the file was sorted. "
            "Compare with --data.equal_times shuffle."
        )
    return (
        f"{which} are in {words}, so that file order says nothing of what came first: "
        "leave-one-out then holds out what stands last in that order. Use "
        f"--data.equal_times shuffle{'' if has_times else ', or give a log with times'}."
    )


def _orders(events: Events, pairs: Mask) -> Iterator[tuple[float, str]]:
    """Give the share of neighbours that are in each order, with its words."""
    ids = events.item_words
    ranks = np.arange(len(ids)) if len(ids) else np.zeros(0, int)
    kinds = {"alphabetical": ids.rank("ordinal").to_numpy()}
    if ids.str.contains(r"^\d+$").all():
        kinds = {"numerical": ranks} | kinds  # shorter ids have lower codes
    chosen = pairs & (events.items[1:] >= 0) & (events.items[:-1] >= 0)
    for kind, rank in kinds.items():
        yield from _shares(rank[events.items], chosen, f"{kind} order of their items")
    if events.log.has(Column.VALUE) or events.log.has(Column.COUNT):
        yield from _shares(events.strengths, pairs, "the order of their values")


def _shares(keys: NDArray[np.number], pairs: Mask, words: str) -> Iterator[tuple[float, str]]:
    up, down = ((keys[1:] > keys[:-1]) & pairs).sum(), ((keys[1:] < keys[:-1]) & pairs).sum()
    if up + down >= PAIRS:
        yield up / (up + down), words
        yield down / (up + down), f"{words}, the last first"


def _reversed(events: Events, pairs: Mask) -> str:
    """Say that the file has the newest events first, where that decides between equal times."""
    if pairs.sum() < PAIRS:
        return ""
    order = np.lexsort((events.rows, events.users))
    times, users = events.times[order], events.users[order]
    own = users[1:] == users[:-1]
    earlier, later = ((times[1:] < times[:-1]) & own).sum(), ((times[1:] > times[:-1]) & own).sum()
    if earlier + later < PAIRS or earlier < SORTED * (earlier + later):
        return ""
    return (
        "The file has a user's newest events first, and among events at the same time file order "
        "counts, which puts later ones first there. Sort the file with the oldest events first, or "
        "use --data.equal_times shuffle."
    )
