"""What is appended to a run's log: read, kept apart from what is known, and joined to it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl

from lightrec import plugins
from lightrec.api import Catalog, Column, DataError, Domain, EventStore, Stage, Users
from lightrec.data.log import NO_EVENTS, InteractionLog
from lightrec.data.parquet import KIND_KEY
from lightrec.data.readers.base import Columns, Tables, read_table
from lightrec.data.readers.canonical import CanonicalReader
from lightrec.data.schema import LOG_SCHEMA, Problems
from lightrec.data.visitors import persons, renamed
from lightrec.stages.data import Gathered, prepared

_SAID: Final = (Column.VALUE, Column.COUNT, Column.PROPENSITY, Column.CANDIDATES)
SAME: Final = tuple(name for name in LOG_SCHEMA if name not in _SAID)
"""Two events that agree in all of these are one."""
_NO_TIMES: Final = (
    "It has no times, which the run's log has: its events would all be left out. Name its column "
    "of times with --data.columns '{time: COLUMN}'."
)
_TIMES: Final = (
    "It has times, which the run's log lacks: the run's events would all be left out. Leave them "
    "out of this log with --data.columns '{time: none}', or make the run again."
)
_Table = TypeVar("_Table", Catalog, Users)


def append_log(stage: Stage, **settings: Any) -> None:
    """Append logs and tables to those that another data stage has kept, and prepare all again.

    :param stage: whose source ``before`` is the folder of what was kept; all others are appended.
    :param settings: those of :func:`lightrec.stages.data.prepared`.
    :raises NothingNew: where this changes nothing.
    :raises DataError: where the input cannot be used.
    """
    prepared(stage, appended_tables, **settings)


def appended_tables(
    stage: Stage,
    domain: Domain,
    read: "partial[Tables]",
    named: dict[str, Any],
    settings: dict[str, Any],
) -> Gathered:
    """Join what is new to the tables that were kept."""
    before = stage.sources["before"]
    old, kept, nothing = EventStore(before.parent), CanonicalReader().read(before), False
    logs, catalog, users = more(stage.sources, read, **named)
    _, whose = persons(_merged(kept.users, users))
    logs = {role: log and renamed(log, whose) for role, log in logs.items()}
    try:
        tables = append(kept, [log for log in logs.values() if log], catalog, users)
    except NothingNew:  # but perhaps other settings
        tables, nothing = Appended(*vars(kept).values()), True
    settings["appended"] = account(kept, tables, logs, catalog, users)
    fresh = tables.log.events[Column.ITEM].tail(sum(tables.new)).drop_nulls().cast(pl.String)
    put = [] if catalog is None else [catalog.rows[Column.ITEM]]
    settings["also"] = pl.concat([old.catalog[Column.ITEM], fresh, *put]).unique().sort()
    if tables.catalog is kept.catalog and settings.get("languages") is None:
        settings["languages"] = old.meta["languages"]

    def finish(store: EventStore) -> None:
        same = store.meta["settings"] == old.meta["settings"]
        if nothing and same and store.num_items == old.num_items:
            raise NothingNew(store.meta["appended"])

    return tables, finish


def more(
    sources: Mapping[str, Path],
    read: "partial[Tables]",
    item_columns: Columns | None = None,
    user_columns: Columns | None = None,
) -> tuple[dict[str, InteractionLog | None], Catalog | None, Users | None]:
    """Read what is appended: logs, each by itself, and tables of items and users.

    A log without events counts for none. The tables that come with logs are joined, the later ones
    counting where they differ, which is reported, and those of ``sources`` before all.

    :param sources: the tables' by ``items`` and ``users``, the logs' by names with ``log``.
    :param read: of a log's path, with the tables that come with it.
    :returns: the logs by the same names, None for one without events, and the tables.
    :raises DataError: where one of them cannot be used.
    """
    tables_of, problems = dict[str, Tables | None](), Problems()
    catalog = users = named_catalog = named_users = None
    for role, path in sources.items():
        with problems.taking():
            if role == "items":
                named_catalog = read_table(path, "item", item_columns)
            elif role == "users":
                named_users = read_table(path, "user", user_columns)
            elif role.startswith("log"):
                tables_of[role] = _read(path, read)
    problems.check()
    for tables in filter(None, tables_of.values()):
        catalog = _merged(catalog, tables.catalog, tell=True)
        users = _merged(users, tables.users, tell=True)
    logs = {role: None if each is None else each.log for role, each in tables_of.items()}
    return logs, _merged(catalog, named_catalog), _merged(users, named_users)


def _read(path: Path, read: "partial[Tables]") -> Tables | None:
    """Read a log; None where it has no events.

    A log that lightrec wrote, as `lightrec served` does, has columns and times of its own, whatever
    those of the run's log were called; what the run leaves out is left out of it, too.
    """
    if path.is_file() and not path.stat().st_size:
        return None
    whole = CanonicalReader.recognises(path)
    if whole or _holds_log(path):
        columns = {} if whole else read.keywords.get("columns") or {}
        none = {name: x for name, x in columns.items() if str(x).lower() in ("none", "null")}
        read = partial(read, columns=none, reader=None, times="auto")
    try:
        return read(path)
    except DataError as error:
        if len(error.problems) == 1 and error.problems[0].endswith(NO_EVENTS):
            return None
        raise


class NothingNew(DataError):
    """All that was given is known already.

    :param appended: what became of each source, as :func:`account` counts it.
    """

    def __init__(self, appended: Mapping[str, Mapping[str, int]] | None = None) -> None:
        super().__init__("There is nothing new.")
        self.appended = appended or {}


@dataclass(frozen=True)
class Appended(Tables):
    """Tables to which logs were appended."""

    new: tuple[int, ...] = ()
    """How many events of each log were not known; they are the last ones, log by log."""


def account(
    before: Tables,
    after: Appended,
    logs: Mapping[str, InteractionLog | None],
    catalog: Catalog | None,
    users: Users | None,
) -> dict[str, dict[str, int]]:
    """Number of rows of each log and table, and of those that are new, changed and known."""
    counts, new = dict[str, dict[str, int]](), iter(after.new)
    for name, log in logs.items():
        fresh = next(new, 0) if log else 0
        counts[name] = {"rows": len(log or ()), "new": fresh, "known": len(log or ()) - fresh}
    for name, table, old, now in (
        ("items", catalog, before.catalog, after.catalog),
        ("users", users, before.users, after.users),
    ):
        if table is not None and now is not None:
            nobody = now.rows.clear()
            earlier = nobody if old is None else pl.concat([nobody, old.rows], how="diagonal")
            same, added = now.rows.head(earlier.height), now.rows.height - earlier.height
            changed = int((earlier.hash_rows() != same.hash_rows()).sum())
            left = len(table) - added - changed
            counts[name] = {"rows": len(table), "added": added, "changed": changed, "known": left}
    return counts


def append(
    before: Tables,
    logs: Sequence[InteractionLog] = (),
    catalog: Catalog | None = None,
    users: Users | None = None,
) -> Appended:
    """Append to tables; an event that is known counts once, without times as far as can be known.

    :raises NothingNew: where this changes nothing.
    :raises DataError: where a column cannot be brought to the type that it has in the tables, or
        only one side has times.
    """
    events, timed = before.log.events, before.log.has(Column.TIME)
    problems = Problems()
    for log in logs:
        if log.has(Column.TIME) != timed:
            problems.add(f"{log.place.source}: {_NO_TIMES if timed else _TIMES}")
    problems.check()
    new = []
    for log in logs:
        if timed:
            fresh = log.events.join(events.select(SAME), on=SAME, how="anti", nulls_equal=True)
        else:
            fresh = _unknown(events, log)
        events = pl.concat([events, fresh]) if fresh.height else events
        new.append(fresh.height)
        kinds, known = (set(each[Column.FEEDBACK].unique()) for each in (fresh, before.log.events))
        if other := sorted(kinds - known):
            plugins.warn(
                f"{log.place.source}: the run's log has no events of the kind {', '.join(other)}, "
                f"only {', '.join(sorted(known))}; if one of these was meant, correct the new log."
            )
    tables = before.catalog, before.users
    merged = _merged(before.catalog, catalog), _merged(before.users, users)
    if events is before.log.events and all(a is b for a, b in zip(tables, merged, strict=True)):
        raise NothingNew
    log = before.log if events is before.log.events else InteractionLog(events)
    return Appended(log, *merged, new=tuple(new))


def _unknown(events: pl.DataFrame, log: InteractionLog) -> pl.DataFrame:
    """Leave out of a log without times what stands in events already, as far as that can be known.

    A single event may be known or come again. A log whose events, in any order, stand there one
    after the other is known; in one that holds all, they are. What else is equal is reported.
    """
    marks, before = (table.hash_rows().alias("mark") for table in (log.events, events))
    count, sums = len(log), np.append(np.uint64(0), before.to_numpy()).cumsum()
    together = (sums[count:] - sums[:-count] == marks.to_numpy().sum()).any()
    often = pl.DataFrame([marks]).with_columns(earlier=pl.int_range(pl.len()).over("mark"))
    often = often.join(before.value_counts(), on="mark", how="left", maintain_order="left")
    equal = (often["earlier"] < often["count"]).fill_null(False)
    once = together or equal.sum() == len(events)
    if equal.any():
        account = "count again: without times nobody can tell known events from repetitions"
        plugins.warn(
            f"{log.place.source}: {equal.sum():,} of its {count:,} events are equal to events of "
            f"the run's log, and {'are taken to be the same' if once else account}."
        )
    return log.events.filter(~equal) if once else log.events


def _merged(before: _Table | None, added: _Table | None, tell: bool = False) -> _Table | None:
    """Add rows to a table. Of a known row the values given count, and what they leave open stays.

    :param tell: whether to warn of known values that are given otherwise.
    :returns: the table itself where that changes nothing.
    """
    if before is None or added is None:
        return before if added is None else added
    # The kinds of few rows alone may be taken for others.
    added = added.retyped({n: kind for n, kind in before.kinds.items() if n in added.kinds})
    old, new, problems = before.rows, added.rows, Problems(added.place.source)
    new = new.with_columns(
        _as_before(new[name], old[name], problems) for name in new.columns if name in old.columns
    )
    problems.check()
    wider = pl.concat([old, new.clear()], how="diagonal")
    rows = wider.update(new, on=before.key, how="full", maintain_order="left_right")
    if rows.equals(old):
        return before
    same = rows.head(old.height)
    changed = {n: old[n].is_not_null() & old[n].ne_missing(same[n]) for n in old.columns}
    if tell and (count := pl.DataFrame(changed).select(pl.any_horizontal(pl.all()).sum()).item()):
        plugins.warn(
            f"{added.place.source} says otherwise of {count:,} {before.key}{'s' * (count > 1)} "
            f"({', '.join(n for n, rows in changed.items() if rows.any())}) than the tables before "
            "it, and counts."
        )
    return type(before)(rows, types=added.kinds | before.kinds)


def _as_before(new: pl.Series, old: pl.Series, problems: Problems) -> pl.Series:
    """Bring a column to the type that it has, which is another type of the same kind."""
    cast = new.cast(old.dtype, strict=False)
    lost = cast.is_null() & new.is_not_null()
    if lost.any():
        problems.add(
            f"The column {new.name!r} has {int(lost.sum()):,} values such as "
            f"{new.filter(lost)[0]!r}, which cannot be read as {old.dtype}, the type that the "
            "column has so far: correct them, or leave the column out."
        )
    return cast


def _holds_log(path: Path) -> bool:
    """Whether a Parquet file, or the first of a folder's, is a log that lightrec wrote."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    with suppress(OSError, IndexError, pl.exceptions.PolarsError):
        return pl.read_parquet_metadata(files[0]).get(KIND_KEY) == "log"
    return False
