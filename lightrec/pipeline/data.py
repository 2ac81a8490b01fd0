"""The data stage: from files, a domain's sample or a synthetic world to a prepared log."""

from collections.abc import Mapping
from pathlib import Path

from lightrec import plugins
from lightrec.data.domain import Domain
from lightrec.data.prepare import EqualTimes, Split, prepare
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.table import read_catalog, read_users
from lightrec.data.times import TimeFormat
from lightrec.errors import DataError, RecipeError
from lightrec.keys import Column
from lightrec.pipeline.functions import settings
from lightrec.pipeline.stage import Stage
from lightrec.simulators.far import FarWorld

HELD_OUT_SESSIONS = 4000
TRUTH = "truth.safetensors"
"""In worlds whose truth is known: fresh sessions with their true rewards, for evaluation only."""


def prepare_log(
    out: Path,
    *,
    log: Path | None = None,
    items: Path | None = None,
    users: Path | None = None,
    domain: str = "generic",
    reader: str | None = None,
    columns: dict[str, str] | None = None,
    times: TimeFormat = "auto",
    minimum_value: float | None = None,
    weights: dict[str, float] | None = None,
    k_core: int = 5,
    split: Split = "leave-one-out",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    equal_times: EqualTimes = "file",
    seed: int = 0,
    offline: bool = False,
    sessions: int = 10_000,
) -> None:
    """Read a log and prepare it.

    :param out: the folder to write.
    :param log: the log's path; by default the domain's sample.
    :param items: the item table's path.
    :param users: the user table's path.
    :param domain: name of the domain, which puts items into words.
    :param reader: name of the reader; by default the one that recognises the path.
    :param columns: the log's column names by their meaning: ``{user: customer, item: sku}``.
    :param times: how times are written: auto, seconds, milliseconds or iso.
    :param minimum_value: the least value that counts as liked; null: every event does.
    :param weights: weight of each feedback; events of other feedback are left out.
    :param k_core: users and items with fewer events are left out, repeatedly.
    :param split: leave-one-out or global-time.
    :param validation_fraction: for global-time: the part of the time before the test part.
    :param test_fraction: for global-time: the last part of the time.
    :param equal_times: order of events with equal times: file, or shuffle (seeded).
    :param seed: of the shuffle and of the synthetic world.
    :param offline: use the synthetic world ``far`` in place of a log.
    :param sessions: how many sessions of the world to log.
    :raises DataError: where the input cannot be used.
    """
    kind = plugins.installed().get("domains", domain).load()
    chosen: Domain = kind()
    if offline:
        world = FarWorld(seed)
        simulated, catalog = world.log(sessions)
        tables = Tables(simulated, catalog, None)
    else:
        source = log or chosen.sample()
        if source is None:
            raise RecipeError(
                f"The domain {domain!r} has no sample of its own: give your log with --log, or "
                "use --offline for a synthetic world."
            )
        tables = read_tables(source, items, users, columns=columns, reader=reader, times=times)
    store = prepare(
        tables.log,
        out,
        catalog=tables.catalog,
        users=tables.users,
        domain=chosen,
        minimum_value=minimum_value,
        weights=weights,
        k_core=k_core,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        equal_times=equal_times,
        seed=seed,
    )
    if offline:
        # Fresh sessions, in the store's item indices; no stage but the last looks at them.
        fresh = world.held_out(HELD_OUT_SESSIONS)
        fresh.reindex(store.catalog[Column.ITEM].to_list()).save(out / TRUTH)


def read_tables(
    log: Path,
    items: Path | None = None,
    users: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    reader: str | None = None,
    times: TimeFormat = "auto",
) -> Tables:
    """Read a log with the reader that recognises it, and item and user tables beside it.

    :raises DataError: where no reader recognises a file.
    """
    tables = find_reader(log, reader, times).read(log, columns)
    catalog, known = tables.catalog, tables.users
    if items is not None:
        catalog = read_catalog(items)
    if users is not None:
        known = read_users(users)
    return Tables(tables.log, catalog, known)


def find_reader(path: Path, name: str | None = None, times: TimeFormat = "auto") -> Reader:
    """Find the reader of a path, by name or by asking each; plugins' readers are asked first.

    :raises DataError: where none recognises it.
    """
    found = plugins.installed()
    if name is not None:
        reader: Reader = found.get("readers", name).load()(times)
        return reader
    parts = list(found.parts["readers"].values())
    for part in [*(p for p in parts if not p.path.startswith("lightrec.")), *parts]:
        reader = part.load()(times)
        if reader.recognises(path):
            return reader
    raise DataError(
        f"No installed reader recognises it. Readers: {', '.join(found.parts['readers'])}. "
        "A CSV needs a header line; other formats need a plugin.",
        source=path,
    )


def prepare_stage(stage: Stage) -> None:
    """Run the data stage."""
    parsed = settings(stage, prepare_log, skip={"out", "log", "items", "users"})
    stage.prepare_work()
    with stage.output(parsed["seed"]) as folder:
        prepare_log(folder, **{**stage.sources, **parsed})
