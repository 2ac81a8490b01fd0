"""The data stage: from files, a domain's sample or a synthetic world to a prepared log."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lightrec import plugins
from lightrec.data.casts import TimeFormat
from lightrec.data.domain import Domain
from lightrec.data.files import check_input
from lightrec.data.prepare import EqualTimes, Split, prepare
from lightrec.data.readers.base import Tables, read_tables
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
    times: TimeFormat = "auto",
    minimum_value: float | None = None,
    weights: dict[str, float] | None = None,
    k_core: int = 5,
    split: Split = "leave-one-out",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    cold_fraction: float = 0.1,
    new_items: bool = False,
    equal_times: EqualTimes = "file",
    seed: int = 0,
    offline: bool = False,
    sessions: int = 10_000,
) -> None:
    """Read a log and prepare it.

    :param stage: whose sources are the paths of the log, by default the domain's sample, and of
        the item and user tables.
    :param domain: name of the domain, which puts items into words.
    :param reader: name of the reader; by default the one that recognises the path.
    :param columns: the log's column names by their meaning: ``{user: customer, item: sku}``.
    :param times: how times are written: auto, seconds, milliseconds or iso.
    :param minimum_value: the least value that counts as liked; null: every event does.
    :param weights: weight of each feedback; events of weight 0 and of other feedback are left out,
        and those of negative weight are no targets. By default what the domain says they are worth.
    :param k_core: users and items with fewer events are left out, repeatedly.
    :param split: leave-one-out, global-time or item-cold.
    :param validation_fraction: for global-time: the part of the time before the test part.
    :param test_fraction: for global-time: the last part of the time.
    :param cold_fraction: for item-cold: the part of the items that is kept out.
    :param new_items: whether items of the item table that the log never names can be recommended.
    :param equal_times: order of events with equal times: file, or shuffle (seeded).
    :param seed: of the shuffle, of the items kept out and of the synthetic world.
    :param offline: use the domain's synthetic log, or else the world ``far``, in place of a log.
    :param sessions: how many sessions of the world to log.
    :raises DataError: where the input cannot be used.
    """
    chosen: Domain = plugins.installed().get("domains", domain).load()()
    for path in stage.sources.values():
        check_input(path)
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
                tables = read_tables(source, *given, columns=columns, reader=reader, times=times)
            store = prepare(
                tables.log,
                folder,
                catalog=tables.catalog,
                users=tables.users,
                domain=chosen,
                minimum_value=minimum_value,
                weights=weights,
                k_core=k_core,
                split=split,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                cold_fraction=cold_fraction,
                new_items=new_items,
                equal_times=equal_times,
                seed=seed,
            )
            if world is not None:
                # Fresh sessions, in the store's item indices; no stage but the last looks at them.
                fresh = world.held_out(HELD_OUT_SESSIONS)
                fresh.reindex(store.catalog[Column.ITEM].to_list()).save(folder / TRUTH)


@contextmanager
def leaving_nothing(stage: Stage) -> Iterator[None]:
    """Take away what was made for a stage whose input is refused, so that the run folder is as new.

    :raises LightrecError: that of the block.
    """
    made = [folder for folder in (stage.work, *stage.work.parents) if not folder.exists()]
    try:
        yield
    except LightrecError:
        shutil.rmtree(stage.work, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # somebody else may have put something there meanwhile
                folder.rmdir()
        raise
