"""The data stage: files, a domain's sample or a synthetic world."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightrec import plugins
from lightrec.data.domain import Domain
from lightrec.data.files import leaving_nothing
from lightrec.data.findings import glance, recognised
from lightrec.data.pairs import funnel
from lightrec.data.prepare import prepare
from lightrec.data.readers.base import Tables, read_tables
from lightrec.data.readers.canonical import write_tables
from lightrec.data.store import READ, EventStore
from lightrec.data.types import Kind
from lightrec.data.visitors import bots, persons, renamed
from lightrec.errors import RecipeError
from lightrec.keys import Column
from lightrec.stages.stage import Stage

HELD_OUT_SESSIONS = 4000
TRUTH = "truth.safetensors"
"""Fresh sessions of a world whose truth is known, with their true rewards, for evaluation only."""
Gathered = tuple[Tables, Callable[[EventStore], None]]
"""Tables that a log is prepared from, and what is done with the store that was made of it."""
Gather = Callable[[Stage, Domain, "partial[Tables]", dict[str, Any], dict[str, Any]], Gathered]
"""Source of a data stage's tables: of the stage, its domain, the function that reads a log, the
item and user tables' columns, and the settings of :func:`prepared`, which it may add to."""


def prepare_log(stage: Stage, **settings: Any) -> None:
    """Read a log and prepare it, and keep what was read, so that more can be appended.

    :param stage: whose sources are the paths of the log, by default the domain's sample, and of
        the item and user tables.
    :param settings: those of :func:`prepared`.
    :raises DataError: where the input cannot be used.
    """
    prepared(stage, first_tables, **settings)


def prepared(
    stage: Stage,
    gather: Gather,
    *,
    domain: str = "generic",
    reader: str | None = None,
    columns: dict[str, str | int | None] | None = None,
    item_columns: dict[str, str | int | None] | None = None,
    user_columns: dict[str, str | int | None] | None = None,
    times: str = "auto",
    skip_broken: str | None = None,
    leave_out_bots: bool = False,
    types: dict[str, Kind] | None = None,
    seed: int = 0,
    offline: bool = False,
    sessions: int = 10_000,
    **settings: Any,
) -> None:
    """Prepare the tables that are gathered, and keep them as they were read.

    :param domain: name of the domain, which puts items into words.
    :param reader: as for :func:`lightrec.data.readers.base.read_tables`, as are the settings up to
        ``types``.
    :param leave_out_bots: whether events of users who are programs count as nobody's; see
        :func:`lightrec.data.visitors.bots`.
    :param seed: of the shuffle, of the items kept out and of the synthetic world.
    :param offline: use the domain's synthetic log, or else the world ``far``, in place of a log.
    :param sessions: how many sessions of the world to log.
    :param settings: further ones of :func:`lightrec.data.prepare.prepare`, which explains all.
    """
    chosen: Domain = plugins.installed().get("domains", domain).made()
    read = partial(
        read_tables, columns=columns, reader=reader, times=times, skip_broken=skip_broken
    )
    named: dict[str, Any] = {"item_columns": item_columns, "user_columns": user_columns}
    settings |= {"types": types, "seed": seed, "offline": offline, "sessions": sessions}
    settings["leave_out_bots"] = leave_out_bots
    with leaving_nothing(stage.work):
        stage.prepare_work()
        with stage.output(seed) as folder:
            tables, finish = gather(stage, chosen, read, named, settings)
            for name in ("types", "offline", "sessions", "leave_out_bots"):
                settings.pop(name)
            people, whose = persons(tables.users)
            tables = replace(tables, log=renamed(tables.log, whose))
            if leave_out_bots:
                goal = settings.get("goal") or [kind for kind, _ in funnel(tables.log, chosen)]
                nobody = dict.fromkeys(bots(tables.log, goal))
                tables = replace(tables, log=renamed(tables.log, nobody))
                many = "" if len(nobody) == 1 else "s"
                print(f"Left out as bots: {len(nobody):,} user{many}.", file=sys.stderr)
            store = prepare(
                tables.log, folder, catalog=tables.catalog, users=people, domain=chosen, **settings
            )
            finish(store)
            (folder / READ).mkdir()
            write_tables(tables, folder / READ)


def first_tables(
    stage: Stage,
    domain: Domain,
    read: "partial[Tables]",
    named: dict[str, Any],
    settings: dict[str, Any],
) -> Gathered:
    """Read a run's log, its domain's sample or synthetic log, or let the world ``far`` log."""
    with TemporaryDirectory() as scratch:
        seed, offline = settings["seed"], settings["offline"]
        made = domain.synthetic(Path(scratch), seed) if offline else None
        if offline and made is None:
            return _world(seed, settings["sessions"])
        source = made or stage.sources.get("log") or domain.sample()
        if source is None:
            raise RecipeError(
                f"The domain {domain.name!r} has no sample of its own: give your log with --log, "
                "or use --offline for a synthetic world."
            )
        named = named | {role: stage.sources.get(role) for role in ("items", "users")}
        tables = read(source, types=settings["types"], **named)
    chosen_kinds = {n: settings[n] for n in ("weights", "goal") if settings.get(n)}
    summary = glance(tables, domain, **chosen_kinds)
    lines = recognised(replace(summary, bots_left_out=settings["leave_out_bots"]))
    print(f"{source}:", *lines, "", sep="\n", file=sys.stderr)
    return tables, lambda store: None


def _world(seed: int, sessions: int) -> Gathered:
    from lightrec.simulators.worlds.far_log import FarLog  # others need no simulator

    world = FarLog(seed)

    def finish(store: EventStore) -> None:
        # Fresh sessions, in the store's item indices; no stage but the last looks at them.
        fresh = world.held_out(HELD_OUT_SESSIONS)
        fresh.reindex(store.catalog[Column.ITEM].to_list()).save(store.folder / TRUTH)

    return Tables(*world.log(sessions), None), finish
