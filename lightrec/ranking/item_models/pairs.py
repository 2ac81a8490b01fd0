"""Sparse matrices of a log: users by items, and decayed histories by items."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lightrec.data.sequences import Sequences

SMALLEST = 1e-3
"""Events whose decayed weight is below this are forgotten."""


def users_by_items(log: Sequences, num_items: int) -> sparse.csr_array:
    """(U, N) float32: 1 where a user had an item; column i - 1 is item i."""
    users = owners(log)
    ones = np.ones(len(users), np.float32)
    shape = (len(log.offsets) - 1, num_items)
    matrix = sparse.csr_array((ones, (users, np.asarray(log.items) - 1)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def owners(log: Sequences) -> NDArray[np.int64]:
    """(E,) the user of each event."""
    return np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))


def decayed_histories(log: Sequences, num_items: int, decay: float, reach: int) -> sparse.csr_array:
    """What stood in a user's history at each event, this event included, recent items louder.

    :param decay: an item g events ago counts ``decay ** g``.
    :param reach: events that are looked back at, this one included.
    :returns: (E, N) float32.
    """
    place = np.arange(len(log.items)) - log.offsets[owners(log)]
    rows, columns, values = [], [], []
    for gap in range(reach):
        weight = decay**gap
        if weight < SMALLEST:
            break
        events = np.flatnonzero(place >= gap)
        if not len(events):
            break
        rows.append(events)
        columns.append(np.asarray(log.items)[events - gap] - 1)
        values.append(np.full(len(events), weight, np.float32))
    return sparse.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(log.items), num_items),
    )
