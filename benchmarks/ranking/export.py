"""Write a prepared log's split as a plain .npz file, for libraries that know nothing of lightrec.

Items are 0 to N - 1 there, one less than in the store.
"""

from pathlib import Path

import numpy as np

from lightrec.data.store import TEST, TRAIN, VALIDATION, EventStore


def export(data: Path, out: Path) -> None:
    """Write ``train_items``, ``train_offsets``, ``validation``, ``test`` (-1: none), ``num_items``.

    :param data: folder of the data stage, split leave-one-out.
    :param out: the .npz file.
    """
    store = EventStore(data)
    items, parts = np.asarray(store.items, dtype=np.int64) - 1, np.asarray(store.parts)
    train = parts == TRAIN
    held_out = {}
    for name, part in (("validation", VALIDATION), ("test", TEST)):
        events = store.events(part)
        held_out[name] = np.full(store.num_users, -1)
        held_out[name][store.users_of(events)] = items[events]
    np.savez(
        out,
        num_items=store.num_items,
        train_items=items[train],
        train_offsets=np.concatenate([[0], np.cumsum(train)])[store.offsets],
        **held_out,
    )
