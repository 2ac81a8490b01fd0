"""The data stage: from files, a domain's sample or a synthetic world to a prepared log."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightrec import plugins
from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.data.readers.base import Tables, read_tables
from lightrec.data.types import Kind
from lightrec.errors import LightrecError, RecipeError
from lightrec.keys import Column
from lightrec.simulators.worlds.far_log import FarLog
from lightrec.stages.stage import Stage

HELD_OUT_SESSIONS = 4000
TRUTH = "truth.safetensors"
"""In worlds whose truth is known: fresh sessions with their true rewards, for evaluation only."""


def prepare_log(
    stage: Stage,
    *,
    domain: str = "generic",
    reader: str | None = None,
    columns: dict[str, str] | None = None,
    item_columns: dict[str, str] | None = None,
    user_columns: dict[str, str] | None = None,
    times: str = "auto",
    drop_unreadable_times: bool = False,
    types: dict[str, Kind] | None = None,
    seed: int = 0,
    offline: bool = False,
    sessions: int = 10_000,
    **settings: Any,
) -> None:
    """Read a log and prepare it.

    :param stage: whose sources are the paths of the log, by default the domain's sample, and of
        the item and user tables.
    :param domain: name of the domain, which puts items into words.
    :param reader: name of the reader; by default the one that recognises the path.
    :param columns: the log's column names by their meaning: ``{user: customer, item: sku}``.
    :param item_columns: those of the item table, where an attribute may be given any name:
        ``{item: id, brand: maker}``.
    :param user_columns: those of the user table.
    :param times: how times are written: auto, a unit of numbers such as milliseconds, iso,
        day-first, month-first, or a pattern such as ``%d.%m.%Y %H:%M``.
    :param drop_unreadable_times: whether to drop events whose time cannot be read; otherwise they
        are refused.
    :param types: kinds of attributes in place of those recognised, such as ``{zip: category}``;
        see :mod:`lightrec.data.types`.
    :param seed: of the shuffle, of the items kept out and of the synthetic world.
    :param offline: use the domain's synthetic log, or else the world ``far``, in place of a log.
    :param sessions: how many sessions of the world to log.
    :param settings: further ones of :func:`lightrec.data.prepare.prepare`, which explains all.
    :raises DataError: where the input cannot be used.
    """
    chosen: Domain = plugins.installed().get("domains", domain).load()()
    with leaving_nothing(stage), TemporaryDirectory() as scratch:
        stage.prepare_work()
        with stage.output(seed) as folder:
            made = chosen.synthetic(Path(scratch), seed) if offline else None
            world = FarLog(seed) if offline and made is None else None
            if world is not None:
                tables = Tables(*world.log(sessions), None)
            else:
                source = made or stage.sources.get("log") or chosen.sample()
                if source is None:
                    raise RecipeError(
                        f"The domain {domain!r} has no sample of its own: give your log with "
                        "--log, or use --offline for a synthetic world."
                    )
                given = [stage.sources.get(role) for role in ("items", "users")]
                tables = read_tables(
                    source,
                    *given,
                    columns=columns,
                    item_columns=item_columns,
                    user_columns=user_columns,
                    reader=reader,
                    times=times,
                    drop_unreadable_times=drop_unreadable_times,
                    types=types,
                )
            store = prepare(
                tables.log,
                folder,
                catalog=tables.catalog,
                users=tables.users,
                domain=chosen,
                seed=seed,
                **settings,
            )
            if world is not None:
                # Fresh sessions, in the store's item indices; no stage but the last looks at them.
                fresh = world.held_out(HELD_OUT_SESSIONS)
                fresh.reindex(store.catalog[Column.ITEM].to_list()).save(folder / TRUTH)


@contextmanager
def leaving_nothing(stage: Stage) -> Iterator[None]:
    """Take away what was made for a stage whose input is refused: the run folder is as before."""
    made = [folder for folder in (stage.work, *stage.work.parents) if not folder.exists()]
    try:
        yield
    except LightrecError:
        shutil.rmtree(stage.work, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # somebody else may have put something there meanwhile
                folder.rmdir()
        raise
