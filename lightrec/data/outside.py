"""People of a log whom its store leaves out; apart, since few lists need what reads them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.catalog import Users
from lightrec.data.events import Events, drop, encode
from lightrec.data.log import InteractionLog
from lightrec.data.readers.canonical import LOG_FILE, USERS_FILE
from lightrec.data.sequences import Sequences
from lightrec.data.store import READ, TRAIN, EventStore
from lightrec.data.visitors import persons
from lightrec.errors import DataError
from lightrec.keys import PADDING, Column


def users_read(store: EventStore) -> tuple[Users | None, dict[str, str]]:
    """Read the user table from which a store was made, see :func:`~.visitors.persons`."""
    path = store.folder / READ / USERS_FILE
    return persons(Users.read_parquet(path) if path.is_file() else None)


@dataclass(frozen=True)
class Outside:
    """People of the log and of the user table who have no place in a store, as by its k-core.

    :param users: their rows, as those of the store's user table.
    :param log: their events with items of the store.
    """

    users: pl.DataFrame
    log: Sequences

    @classmethod
    def of(cls, store: EventStore) -> Self:
        """Find them among the tables from which a store was made.

        :raises DataError: where these cannot be read.
        """
        folder, like = store.folder / READ, store.users
        named = store.has_users and (folder / LOG_FILE).is_file()
        events = _events(store, folder / LOG_FILE) if named else None
        ids = like[Column.USER].clear() if events is None else events.user_words.alias(Column.USER)
        people, _ = users_read(store)
        table = like.clear() if people is None else people.rows
        more = table[Column.USER].filter(~table[Column.USER].is_in(store.user_ids.implode()))
        ids = pl.concat([ids, more]).unique(maintain_order=True)
        users = ids.to_frame().join(table, on=Column.USER, how="left", maintain_order="left")
        if events is None:
            items, parts = np.zeros(0, np.int32), np.zeros(0, np.int8)
            log = Sequences(items, parts, np.zeros(len(ids) + 1, np.int64), parts.astype(np.int64))
            return cls(users.select(like.columns), log)
        counts = np.bincount(events.users, minlength=len(ids))
        kinds = {kind: number for number, kind in enumerate(store.feedback_kinds, 1)}
        numbers = np.array([kinds.get(kind, 0) for kind in events.feedback_words])
        seen = np.where(events.reaches & (not store.repeats), events.items, PADDING)
        log = Sequences(
            events.items,
            np.full(len(events.items), TRAIN, np.int8),
            np.append(0, counts.cumsum()),
            events.times,
            None if store.feedback is None else numbers[events.feedback],
            store.has_times,
            seen,
        )
        return cls(users.select(like.columns), log)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The rows of the users by their ids."""
        return {user: row for row, user in enumerate(self.users[Column.USER])}

    @cached_property
    def described(self) -> NDArray[np.bool_]:
        """(V,) bool: whether an attribute of a person is known."""
        parts = [pl.lit(False), pl.exclude(Column.USER).is_not_null()]
        return self.users.with_columns(_known=pl.any_horizontal(parts))["_known"].to_numpy()


def _events(store: EventStore, path: Path) -> Events | None:
    """Read the events of people without a place in a store; of its items, by their numbers."""
    inside = store.user_ids.implode()
    try:
        rows = pl.scan_parquet(path).filter(~pl.col(Column.USER).is_in(inside)).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError(f"The file cannot be read as Parquet ({error}).", path) from None
    if not rows.height:
        return None
    settings = store.meta["settings"]
    events = encode(InteractionLog(rows), settings["weights"], store.goal)
    drop(events, repeats=store.repeats, minimum_value=settings["minimum_value"])
    places = {item: number for number, item in enumerate(store.catalog[Column.ITEM], 1)}
    numbers = np.array([*(places.get(i, PADDING) for i in events.item_words), PADDING], np.int32)
    events.items = numbers[events.items]
    events.take(events.items != PADDING)
    return events
