"""Several events of one user with one item: which of them counts.

Before an event of the goal, the same visit's other events about its item only lead to it: what is
bought was put into the basket a minute before. They are in no history, and nobody is judged by what
they give away. A visit is a session of the store; without times and a name of a session it is an
unbroken run of events about one item. Or it is as long as a setting says.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.domain import Domain
from lightrec.data.log import HELD, InteractionLog
from lightrec.data.store import TEST, VALIDATION, begin_sessions
from lightrec.errors import DataError
from lightrec.keys import Column

if TYPE_CHECKING:
    from lightrec.data.events import Events

FEW: Final = 20
"""Number of events of a kind below which nothing is known of it."""
ALREADY: Final = 0.5
"""The share of a kind's events from which on another kind leads to them."""
OFTEN: Final = 0.2
"""The share of held-out events from which on a report says that others predict them."""
_UNITS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}

Codes: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]


def worths(log: InteractionLog, domain: Domain, goal: Sequence[str]) -> dict[str, float] | None:
    """Worth of an event of each kind where no weights are given, see ``Domain.weights``.

    Without a goal, what a funnel leads to is worth more than what leads there. Otherwise almost no
    order would be left of a shop's log, as each repeats a view.
    """
    kinds = log.events[Column.FEEDBACK].unique().sort().to_list()
    return domain.weights(kinds, goal or [end for end, _ in funnel(log, domain)])


def funnel(log: InteractionLog, domain: Domain) -> list[tuple[str, float]]:
    """Find the kind of feedback that the others lead to, such as orders; none in most logs.

    That is the rarest kind, of those that are wanted and at most half as frequent as another, of
    which half of the events or more follow one of a more frequent kind, of the same user and item.

    :returns: the kind, with the share of its events that follow another kind's; or nothing.
    """
    kinds = log.events[Column.FEEDBACK].value_counts(sort=True).rows()
    worth = domain.weights([kind for kind, _ in kinds]) or {}
    kinds = [(kind, count) for kind, count in kinds if worth.get(kind, 1) > 0]
    if len(kinds) < 2:
        return []
    pair = [Column.USER, Column.ITEM]
    at = pl.col(Column.TIME) if log.has(Column.TIME) else pl.int_range(pl.len())
    for place, (kind, count) in reversed([*enumerate(kinds)]):
        if count < FEW or 2 * count > kinds[0][1]:
            continue
        often, follow = [name for name, _ in kinds[:place]], 0
        for events in log.by_users(Column.ITEM, Column.FEEDBACK, at.alias("at")):
            before = events.filter(pl.col(Column.FEEDBACK).is_in(often))
            first = before.group_by(pair).agg(pl.col("at").min().alias("first"))
            ends = events.filter(pl.col(Column.FEEDBACK) == kind).join(first, on=pair)
            follow += ends.select((pl.col("first") <= pl.col("at")).sum()).item()
        if (share := follow / count) >= ALREADY:
            return [(kind, share)]
    return []


def strongest_of_pairs(users: Codes, items: Codes, strengths: NDArray[np.floating]) -> Mask:
    """Find the strongest event of each (user, item) pair, the first of equally strong ones.

    :param strengths: (E,) no NaN.
    :returns: (E,) bool.
    """
    strongest, parts = np.zeros(len(users), bool), len(users) // HELD + 1
    part_of = (users % parts).astype(np.min_scalar_type(parts))
    for part in range(parts):  # of the users: what follows takes some 40 bytes an event
        rows = np.flatnonzero(part_of == part)
        rows = rows[np.argsort(-strengths[rows], kind="stable")]
        pairs = users[rows].astype(np.int64) * (int(items.max(initial=0)) + 1) + items[rows]
        strongest[rows[np.unique(pairs, return_index=True)[1]]] = True
    return strongest


def taken_back(events: "Events") -> Mask:
    """Find the wanted events of pairs of a user and an item that end against the item.

    That is where unwanted events after the strongest wanted one, such as returns, weigh at least as
    much as all events of its kind, such as purchases.

    :param events: ordered by user and time.
    :returns: (E,) bool.
    """
    if not events.unwanted.any():
        return np.zeros_like(events.unwanted)
    codes = events.users.astype(np.int64) * len(events.item_words) + events.items
    pairs = np.unique(codes, return_inverse=True)[1]
    strengths = np.where(events.unwanted, -np.inf, events.strengths)
    first = np.flatnonzero(strongest_of_pairs(events.users, events.items, strengths))
    best = np.empty_like(first)
    best[pairs[first]] = first  # one event of each pair
    best = best[pairs]
    same = ~events.unwanted & (events.feedback == events.feedback[best])
    later = events.unwanted & (np.arange(len(pairs)) > best)
    gone = np.bincount(pairs, -events.strengths * later)
    lost = (gone > 0) & (gone >= np.bincount(pairs, events.strengths * same))
    return lost[pairs] & ~events.unwanted


def milliseconds(length: str) -> int:
    """Read a length such as ``90m``, ``24h`` or ``2d``.

    :raises DataError: where it is none.
    """
    if match := re.fullmatch(r"([1-9][0-9]*) ?([mhd])", str(length)):
        return int(match[1]) * _UNITS[match[2]]
    raise DataError(
        f"visit: {length!r} is not a length of time; write minutes, hours or days, such as 90m, "
        "24h or 2d."
    )


def aims(events: "Events", arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Find the next event of the goal of the same user and item, (E,).

    For events of the goal, and those that none follows, it is the event itself.

    :param arrays: of :func:`lightrec.data.events.number`.
    """
    columns = {"user": events.users, "item": arrays["items"], "reaches": events.reaches}
    frame = pl.DataFrame(columns).with_row_index("place")
    reached = pl.when("reaches").then("place").otherwise(None)
    aim = reached.backward_fill().over("user", "item").fill_null(pl.col("place"))
    return frame.select(aim.cast(pl.Int64)).to_series().to_numpy()


def visited(
    events: "Events", arrays: Mapping[str, NDArray[Any]], length: str | None = None
) -> NDArray[np.int64]:
    """Number pairs of a visit and an item: (E,), the same number where both are the same.

    :param arrays: of :func:`lightrec.data.events.number`.
    :param length: that before each event of the goal is its visit; None: see the module.
    """
    if length is not None:
        aim, times = aims(events, arrays), arrays["times"]
        return np.where(times[aim] - times <= milliseconds(length), aim, np.arange(len(aim)))
    log, items = events.log, arrays["items"].astype(np.int64)
    names = log.events[Column.SESSION][events.rows]
    begins = begin_sessions(arrays["offsets"], names, arrays["times"])
    if not log.has(Column.TIME):
        unnamed = names.is_null().to_numpy()
        begins[1:] |= (unnamed[1:] | unnamed[:-1]) & (items[1:] != items[:-1])
    return np.unique(np.cumsum(begins) * (items.max() + 1) + items, return_inverse=True)[1]


def leading(visits: NDArray[np.int64], reaches: Mask) -> Mask:
    """Find the events (E,) that come before one of the goal in their visit, and are none of it.

    :param visits: (E,) from :func:`visited`.
    """
    last, reached = np.full(visits.max() + 1, -1), np.flatnonzero(reaches)
    last[visits[reached]] = reached  # ascending, so the last one stays
    return ~reaches & (np.arange(len(visits)) < last[visits])


def day_note(events: "Events", arrays: Mapping[str, NDArray[Any]]) -> str:
    """Say where many held-out events follow another about their item on one day (UTC).

    :param arrays: with ``leads``, events that do not count, and ``parts``.
    :returns: a sentence; empty where they are few, or the log has no times.
    """
    aim, days = aims(events, arrays), arrays["times"] // _UNITS["d"]
    near = ~events.reaches & ~arrays["leads"] & (aim > np.arange(len(aim))) & (days[aim] == days)
    held_out = np.flatnonzero(np.isin(arrays["parts"], (VALIDATION, TEST)))
    share = np.isin(held_out, aim[near]).mean() if len(held_out) else 0
    if share < OFTEN or not events.log.has(Column.TIME):
        return ""
    return (
        f"{share:.0%} of the {len(held_out):,} held-out events follow another event about the same "
        "item on the same day, in an earlier visit. If such events only lead to them, as a "
        "preorder does, whoever repeats the last one scores well: hide them with --data.visit 24h."
    )
