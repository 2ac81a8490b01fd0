"""`lightrec serve`: an HTTP service for runs and exports."""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from lightrec.api import RecipeError
from lightrec.cli.command import with_options_of
from lightrec_serve.access import Limits, Role, Tokens, read_tokens

GRACE: Final = 30
"""Seconds for which a service that is to end continues answering what it was asked."""
LOCAL: Final = ("127.0.0.1", "localhost", "::1")
TOKENS: Final = "LIGHTREC_TOKENS"
"""Environment variable with tokens by role, as YAML."""


@with_options_of(Limits, but="candidates slow")
def serve(
    run: Path,
    *others: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: list[float] | None = None,
    by: str | None = None,
    time: str | None = None,
    store: str | None = None,
    tokens: Path | None = None,
    temperature: list[float] | None = None,
    threads: int = 1,
    patience: float = 0.2,
    keep: int = 0,
    hosts: list[str] | None = None,
    **limits: Any,
) -> None:
    """Serve a run, or several beside each other, over HTTP, with a page at /.

    examples:
      lightrec serve runs/video
      lightrec serve runs/video runs/other --weights 0.9 0.1
      lightrec serve runs/video runs/video --temperature 1 0.7
      lightrec serve runs/travel --time now
      lightrec serve runs/video --host 0.0.0.0 --tokens tokens.yaml
      lightrec serve runs/video --store postgresql://me@host/served

    Each person meets one of several runs, by the weights, for good. What was shown is stored with
    its propensities, feedback is stored before it is acknowledged, and `lightrec served` writes
    both as logs. SIGTERM ends the service once it has answered what it was asked.

    :param run: a run folder, such as runs/video, or an export of `lightrec export`.
    :param host: the address to listen at; any but this machine's own needs --tokens.
    :param port: the port.
    :param weights: of the runs (default: all alike).
    :param by: what ranks, as in `lightrec recommend`; by default what each run's evaluation
        favours.
    :param time: when slates are shown whose requests do not say it, by which the field says what
        may be: now, or a date or time (default: the time of the log's last event).
    :param store: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME (default: served.db in the
        folder of the first run).
    :param tokens: a YAML file with tokens by role: read, feedback, admin. It is read again when it
        changes. The environment variable LIGHTREC_TOKENS may hold such YAML instead.
    :param temperature: of slates that are drawn, for all runs or for each: near 0 the best items,
        1 as likely as ranked (default: 1).
    :param threads: for the arithmetic of an answer.
    :param patience: seconds for which a list waits for the store, before it is made without what
        the store knows; feedback waits ten times as long.
    :param keep: days after which what is stored is erased; 0: never.
    :param hosts: names by which the service may be called (default: this machine's own, where there
        are no tokens; else any).
    """
    paths = [run, *map(Path, others)]
    shares = weights or [1.0] * len(paths)
    if len(shares) != len(paths) or min(shares) < 0 or sum(shares) <= 0:
        raise RecipeError(
            f"--weights should have a weight of 0 or more for each of {len(paths)} runs, not all 0."
        )
    if missing := [path for path in paths if not path.is_dir()]:
        raise RecipeError(f"There is no run and no export at {missing[0]}.")
    if keep < 0:
        raise RecipeError(f"--keep is {keep}; give a number of days, or 0 to keep all.")
    given = os.environ.get(TOKENS)
    if host not in LOCAL and tokens is None and given is None:
        raise RecipeError(
            f"Whoever reaches {host} could read and write: name a file of --tokens, or leave out "
            "--host to serve this machine alone."
        )
    heats = temperature or [1.0]
    temperatures = heats * len(paths) if len(heats) == 1 else heats
    if len(temperatures) != len(paths) or min(temperatures) <= 0:
        raise RecipeError(
            f"--temperature should be a number above 0, or one for each of {len(paths)} runs, not "
            f"{' '.join(f'{each:g}' for each in heats)}."
        )

    import torch
    import uvicorn

    from lightrec.data.times import moment
    from lightrec.stages.redo import check_folders
    from lightrec_serve.app import application
    from lightrec_serve.service import Arm, Service
    from lightrec_serve.store import Store, StoreError
    from lightrec_serve.tables import name_of

    if time is not None:
        moment(time)  # refused here
    roles: Callable[[], Mapping[str, Role]] | None = None
    if tokens is not None:
        roles = Tokens(tokens)
    elif given is not None:
        fixed = read_tokens(given, TOKENS)
        roles = lambda: fixed  # noqa: E731
    if hosts is None and roles is None:
        hosts = [*LOCAL]
    torch.set_num_threads(threads)
    arms = [
        Arm(name, loader(path, by, heat), share)
        for name, path, heat, share in zip(names(paths), paths, temperatures, shares, strict=True)
    ]
    if store is None:
        check_folders(run, "served.db")
    kept = Store(store or f"sqlite:///{run / 'served.db'}")
    later = f"served-later-{sha256(name_of(kept.engine).encode()).hexdigest()[:8]}.db"
    check_folders(run, later)
    try:
        aside = Store(f"sqlite:///{run / later}")  # another store's feedback is another file's
    except StoreError as error:  # such as in a folder that nobody may write to
        aside = None
        print(f"Feedback that comes while the store is away will be refused. {error}")
    log_as_json()
    service = Service(arms, kept, time, patience, aside, keep)
    app = application(service, Limits(**limits), roles, hidden=hidden(paths), hosts=hosts)
    for arm in arms:
        if (last := arm.batcher.engine.last) is not None:
            when = time or f"{last:%Y-%m-%d %H:%M} UTC, the log's last event"
            change = "" if time else "; --time now asks as of each request"
            print(f"{arm.name}: what its field lets people see is asked as of {when}{change}.")
        elif time is not None:
            print(f"{arm.name}: --time changes nothing, since its field forbids nothing by times.")
    print(f"http://{host}:{port}/ has the page, http://{host}:{port}/docs the interface.")
    sys.stdout.flush()
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )


def served(
    store: str,
    out: Path,
    *,
    day: str | None = None,
    kinds: dict[str, str] | None = None,
    trial: bool = False,
) -> None:
    """Write what was served and what people did as logs, a Parquet file a day.

    examples:
      lightrec served runs/video/served.db served
      lightrec served postgresql://me@host/served served --day 2026-11-27
      lightrec served runs/video/served.db served --kinds '{accepted: click}'
      lightrec update runs/video --log served/log/2026-11-27.parquet

    OUT/log holds the events, for `lightrec update`; OUT/shown all that was shown, with its
    propensities, for the estimators.

    :param store: a file of SQLite or the URL of a database.
    :param out: a folder.
    :param day: this day in UTC alone, such as 2026-11-27.
    :param kinds: other names for kinds of feedback, such as those of the run's own log.
    :param trial: the sessions of those who only tried the service, as on its page, instead.
    """
    from lightrec_serve.records import export
    from lightrec_serve.store import Store

    wanted = None if day is None else _day(day, "day")
    with Store(_url(store)) as held:
        files, worth = export(held, out, wanted, kinds, trial), held.worth
    for file in files:
        print(file)
    if not files:
        print("Nothing was served then.")
    elif not worth:
        print(
            "The store does not say what kinds of feedback are worth: each counts as 1, or as -1 "
            "where its name says that an item was not liked. If the run's field says otherwise, "
            "start `lightrec serve` on this store once, and export again.",
            file=sys.stderr,
        )


def person(store: str, user: str) -> None:
    """Print all that is stored of a person, as JSON.

    examples:
      lightrec person runs/video/served.db 42
      lightrec person postgresql://me@host/served 42 > 42.json

    Sessions, answers with what they showed, feedback, and attributes that were put; what the run's
    own log has is in its files.

    :param store: a file of SQLite or the URL of a database.
    :param user: the person's id.
    """
    from lightrec_serve import personal
    from lightrec_serve.store import Store

    with Store(_url(store)) as held:
        stored = personal.person(held, user)
    if not any(stored.values()):
        raise RecipeError(f"Nothing is stored of {user!r}.")
    print(json.dumps(stored, indent=2, ensure_ascii=False))


def forget(store: str, *, user: str | None = None, before: str | None = None) -> None:
    """Erase what is stored of a person, or what is older than a day.

    examples:
      lightrec forget runs/video/served.db --user 42
      lightrec forget postgresql://me@host/served --before 2026-01-01

    Files that `lightrec served` has written, backups and the run's own log are not touched.

    :param store: a file of SQLite or the URL of a database.
    :param user: the person's id.
    :param before: a day in UTC, such as 2026-01-01: answers and feedback before it go.
    """
    from lightrec_serve import personal
    from lightrec_serve.store import Store
    from lightrec_serve.tables import DAY

    if (user is None) == (before is None):
        raise RecipeError("Say either whose --user events go, or --before which day they do.")
    days = 0 if before is None else (_day(before, "before") - date(1970, 1, 1)).days
    gone = personal.before(days * DAY) if user is None else personal.of_person(user)
    with Store(_url(store)) as held:
        counts = personal.erase(held, gone)
    print(", ".join(f"{count:,} of {name}" for name, count in counts.items()) + " erased.")


def _day(said: str, option: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise RecipeError(f"--{option} is a date such as 2026-11-27, not {said!r}.") from None


def _url(store: str) -> str:
    """The address of a store that is there."""
    if "://" in store:
        return store
    if not Path(store).is_file():
        raise RecipeError(f"There is no file {store}.")
    return f"sqlite:///{store}"


def hidden(paths: list[Path]) -> list[str]:
    """Texts by which messages may name runs, the longest first."""
    forms = {str(p) for each in paths for p in (each.absolute(), each.resolve(), each)}
    return sorted((form for form in forms if "/" in form), key=len, reverse=True)


def names(paths: list[Path]) -> list[str]:
    """Name arms by their folders, with numbers where folders are called alike."""
    folders = [path.absolute().name for path in paths]
    return [
        name if folders.count(name) == 1 else f"{name}-{folders[: place + 1].count(name)}"
        for place, name in enumerate(folders)
    ]


def loader(path: Path, by: Any, temperature: float) -> Any:
    """A function that loads a run or an export, again at each call."""
    if (path / "manifest.json").is_file():
        from lightrec_export.exported import BLEND, read_manifest

        from lightrec_serve.export_engine import BlendEngine, ExportEngine

        if read_manifest(path)["what"] == BLEND:
            return lambda: BlendEngine(path, temperature)
        return lambda: ExportEngine(path, temperature)

    from lightrec_serve.run_engine import RunEngine

    return lambda: RunEngine(path, by, temperature)


def log_as_json() -> None:
    """Let the service's messages and uvicorn's go to the error output, one JSON a line."""
    from asgi_correlation_id import CorrelationIdFilter
    from pythonjsonlogger.json import JsonFormatter

    handler, names = logging.StreamHandler(), {"levelname": "level", "exc_info": "trace"}
    names["correlation_id"] = "request_id"
    fields = ["levelname", "message", "correlation_id"]
    handler.addFilter(CorrelationIdFilter())
    handler.setFormatter(JsonFormatter(fields, rename_fields=names, timestamp="time"))
    for name in ("lightrec.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
