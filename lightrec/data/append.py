"""Appending to tables that were read before: new events, and new or changed items and users."""

from collections.abc import Sequence
from typing import Final, TypeVar

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.schema import Problems
from lightrec.errors import DataError
from lightrec.keys import Column

SAME: Final = (
    Column.USER,
    Column.TIME,
    Column.ITEM,
    Column.FEEDBACK,
    Column.SESSION,
    Column.IMPRESSION,
    Column.POSITION,
)
"""Two events that agree in all of these are one."""

_Table = TypeVar("_Table", Catalog, Users)


class NothingNew(DataError):
    """All that was given is known already."""


def append(
    before: Tables,
    logs: Sequence[InteractionLog] = (),
    catalog: Catalog | None = None,
    users: Users | None = None,
) -> Tables:
    """Append to tables; an event that is known counts once.

    Without times nobody can tell known events from repetitions, and all count.

    :raises NothingNew: where this changes nothing.
    :raises DataError: where a column cannot be brought to the type that it has in the tables.
    """
    events, timed = before.log.events, before.log.has(Column.TIME)
    for log in logs:
        fresh = log.events
        if timed:
            fresh = fresh.join(events.select(SAME), on=SAME, how="anti", nulls_equal=True)
        events = pl.concat([events, fresh]) if fresh.height else events
    known = before.catalog, before.users
    merged = _merged(before.catalog, catalog), _merged(before.users, users)
    if events is before.log.events and all(a is b for a, b in zip(known, merged, strict=True)):
        raise NothingNew("There is nothing new.")
    log = before.log if events is before.log.events else InteractionLog(events)
    return Tables(log, *merged)


def _merged(known: _Table | None, given: _Table | None) -> _Table | None:
    """Add rows to a table. Of a known row the values given count, and what they leave open stays.

    :returns: the table itself where that changes nothing.
    """
    if known is None or given is None:
        return known if given is None else given
    # The kinds of few rows alone may be taken for others.
    given = given.retyped({name: kind for name, kind in known.kinds.items() if name in given.kinds})
    old, new, problems = known.rows, given.rows, Problems(given.place.source)
    new = new.with_columns(
        _as_before(new[name], old[name], problems) for name in new.columns if name in old.columns
    )
    problems.check()
    wider = old.with_columns(
        pl.lit(None, dtype).alias(name)
        for name, dtype in new.schema.items()
        if name not in old.columns
    )
    rows = wider.update(new, on=known.key, how="full", maintain_order="left_right")
    return known if rows.equals(old) else type(known)(rows, types=given.kinds | known.kinds)


def _as_before(new: pl.Series, old: pl.Series, problems: Problems) -> pl.Series:
    """Bring a column to the type that it has, which is another type of the same kind."""
    cast = new.cast(old.dtype, strict=False)
    lost = cast.is_null() & new.is_not_null()
    if lost.any():
        problems.add(
            f"The column {new.name!r} has {int(lost.sum()):,} values such as "
            f"{new.filter(lost)[0]!r}, which cannot be read as {old.dtype}, the type that the "
            "column has in the run: correct them, or leave the column out."
        )
    return cast
