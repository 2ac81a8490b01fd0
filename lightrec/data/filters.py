"""Filters over events given as integer codes: k-core, repeated pairs, duplicates."""

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


def first_of_duplicates(
    users: Codes, times: npt.NDArray[np.int64], *others: npt.NDArray[np.integer]
) -> npt.NDArray[np.bool_]:
    """Which events are the first among those equal in everything given.

    :param users: (E,) codes, all events of a user together.
    :param times: (E,) ascending within each user.
    :param others: (E,) or (E, C) arrays that have to be equal, too.
    :returns: (E,) bool.
    """
    first = np.ones(len(users), bool)
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    # Only events that share user and time with a neighbour can be duplicates; most logs have few.
    shared = np.flatnonzero(np.pad(same, (0, 1)) | np.pad(same, (1, 0)))
    if not len(shared):
        return first
    columns = [array[shared].reshape(len(shared), -1).T for array in (users, times, *others)]
    keys = [key for column in columns for key in column]
    # A stable sort: of equal events the first stays first.
    order = np.lexsort(keys)
    equal = np.ones(len(order) - 1, bool)
    for key in keys:
        equal &= key[order[1:]] == key[order[:-1]]
    first[shared[order[1:][equal]]] = False
    return first


def strongest_of_pairs(
    users: Codes, items: Codes, strengths: npt.NDArray[np.floating]
) -> npt.NDArray[np.bool_]:
    """Which events are the strongest of their (user, item) pair; of equals, the first given.

    :param strengths: (E,) no NaN.
    :returns: (E,) bool.
    """
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    # A stable sort: of equal strengths the first stays first.
    order = np.lexsort((-strengths, pairs))
    leads = np.ones(len(order), bool)
    leads[1:] = pairs[order[1:]] != pairs[order[:-1]]
    strongest = np.zeros(len(pairs), bool)
    strongest[order[leads]] = True
    return strongest
