"""Several events of one user with one item: which of them counts."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lightrec.data.events import Events

Codes: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]


def strongest_of_pairs(users: Codes, items: Codes, strengths: NDArray[np.floating]) -> Mask:
    """Find the strongest event of each (user, item) pair, the first of equally strong ones.

    :param strengths: (E,) no NaN.
    :returns: (E,) bool.
    """
    order = np.argsort(-strengths, kind="stable")
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    strongest = np.zeros(len(pairs), bool)
    strongest[order[np.unique(pairs[order], return_index=True)[1]]] = True
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
