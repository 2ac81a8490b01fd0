"""Filters over events given as integer codes: iterative k-core and repeated pairs."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.integer]


def k_core(users: Codes, items: Codes, k: int) -> npt.NDArray[np.bool_]:
    """The largest set of events in which every user and every item has at least k events.

    Rare users and items are taken away together until nothing changes; the outcome does not depend
    on the order in which they go.

    :param users: (E,) codes from 0.
    :param items: (E,) codes from 0.
    :returns: (E,) which events stay.
    """
    keep = np.ones(len(users), bool)
    kept = len(users)
    while kept:
        user_counts = np.bincount(users[keep])
        item_counts = np.bincount(items[keep])
        # Codes above the largest kept one have no events at all.
        enough = (np.pad(user_counts, (0, 1))[np.minimum(users, len(user_counts))] >= k) & (
            np.pad(item_counts, (0, 1))[np.minimum(items, len(item_counts))] >= k
        )
        keep &= enough
        left = int(keep.sum())
        if left == kept:
            break
        kept = left
    return keep


def first_of_pairs(users: Codes, items: Codes) -> npt.NDArray[np.bool_]:
    """Which events are the first of their (user, item) pair, in the order given.

    :returns: (E,) bool.
    """
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    return first
