"""Writing into a run's folder: by one command at a time, which may redo stages that are there.

The new stages are made in ``.work/next/NAME``, a run folder of its own, in which the stages that
stay are links. Until the last new one is finished, the run answers as before. The exchange is a
few renames; a note of it is written first, so that a run that is stopped between two of them is
completed by the next command.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from lightrec.data.files import ROOMS, STAMP, is_plain, write_whole
from lightrec.errors import RunError
from lightrec.run import CURRENT

NOTE = Path(".work", "exchange.json")
"""Note in a run that exchanges stages: which ones."""


LOCK: Final = Path(".work", "lock")
"""File in a run that a command writes into: which command, and its process."""
HELD: Final = "LIGHTREC_HELD"
"""Environment variable with the run that is this command's own, for what it calls and starts."""


def joins() -> bool:
    """Whether a launcher has started this process as a further one of the same command.

    torchrun and Kubernetes number them in ``RANK``, SLURM in ``SLURM_PROCID``. Those that a
    training itself has started know whose they are by :data:`HELD`.
    """
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    return HELD not in os.environ and rank != "0"


@contextmanager
def alone(run: Path, command: str) -> Iterator[None]:
    """Let no other command write into a run folder; the lock goes with the process.

    :param run: is made where it is not there, and taken away again where it stays empty.
    :param command: its name, for who meets the lock.
    :raises RunError: where another command writes, where the folder may not be written to, or where
        links in it lead elsewhere.
    """
    place = os.path.realpath(run)
    if (held := os.environ.get(HELD)) == place:
        yield
        return
    check_folders(run)
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    path = run / LOCK
    try:
        with _locked(path):
            path.write_text(f"lightrec {command} (process {os.getpid()})")
            os.environ[HELD] = place
            try:
                yield
            finally:
                os.environ.pop(HELD)
                os.environ.update({} if held is None else {HELD: held})
                path.unlink(missing_ok=True)
    finally:
        for folder in (path.parent, *missing):
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _locked(path: Path) -> AbstractContextManager[object]:
    run = path.parents[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path).acquire(blocking=False)
    except Timeout as error:
        who = path.read_text(errors="replace")[:200] if path.is_file() else ""
        who = f": {who}" if who.isprintable() else ""
        raise RunError(f"Another command writes into {run}{who}. Wait until it ends.") from error
    except OSError as error:
        raise RunError(f"{run} cannot be written to: {error.strerror}.") from error


def check_folders(run: Path, *folders: str) -> None:
    """See that no link leads out of a run folder what is written into its folders.

    :param folders: names of more folders.
    :raises RunError: where one does.
    """
    base = os.path.realpath(run)
    for room in (LOCK.parent.name, *ROOMS, *folders):
        for path in (run / room, *(run / room).rglob("*")):
            # The link to the version that answers is replaced, and nothing is written through it.
            if (
                room != CURRENT
                and path.is_symlink()
                and not Path(os.path.realpath(path)).is_relative_to(base)
            ):
                raise RunError(
                    f"{path} is a link to {os.path.realpath(path)}, outside of the run folder, "
                    "where nothing of a run is written: remove it."
                )


def waiting_room(run: Path) -> Path:
    """The folder in which a run's new stages wait."""
    return run / ".work" / "next" / run.resolve().name


def prepare(run: Path, redone: Sequence[str], kept: Sequence[str]) -> Path:
    """Make and give the waiting room; finished and begun stages in it stay.

    :param kept: stages that those to be made there may read, as they are.
    """
    room = waiting_room(run)
    (room / "logs").mkdir(parents=True, exist_ok=True)
    for path in _paths(redone):
        if (room / path).is_symlink():
            (room / path).unlink()
    drop(room, kept)
    for path in _paths(kept):
        if (run / path).exists():
            up = os.path.relpath(run / path.parent, room / path.parent)
            (room / path).symlink_to(Path(up) / path.name)
    return room


def drop(room: Path, stages: Sequence[str]) -> None:
    """Take away stages that wait, with their curves."""
    for path in _paths(stages):
        if (room / path).is_symlink():
            (room / path).unlink()
        else:
            shutil.rmtree(room / path, ignore_errors=True)


def exchange(run: Path, redone: Sequence[str]) -> None:
    """Put the stages that wait in the place of the old ones."""
    shutil.rmtree(run / ".work" / "old", ignore_errors=True)
    write_whole(run / NOTE, json.dumps([*redone]))
    complete(run)


def complete(run: Path) -> None:
    """Complete an exchange that was stopped between two renames, where there is one."""
    if not (note := run / NOTE).is_file():
        return
    room, old = waiting_room(run), run / ".work" / "old"
    redone = json.loads(note.read_text())
    if not isinstance(redone, list) or not all(map(is_plain, redone)):
        raise RunError(f"{note} is damaged: it names {redone}, and no stages. Remove it.")
    for path in _paths(redone):
        if not (room / path).exists():
            continue  # it was moved before the stop
        for place in (old / path, run / path):
            place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(run / path):
            os.replace(run / path, old / path)
        os.replace(room / path, run / path)
    # Later versions were made from the old stages; until here the one that answers is whole.
    (run / CURRENT).unlink(missing_ok=True)
    note.unlink()
    for begun in (old, *(run / ".work" / name for name in redone)):
        shutil.rmtree(begun, ignore_errors=True)
    tidy(run)


def tidy(run: Path) -> None:
    """Take the waiting room away where nothing in it is finished or begun."""
    room = waiting_room(run)
    finished = any(not stamp.parent.is_symlink() for stamp in room.glob(f"*/{STAMP}"))
    # Notes next to the begun stages' folders are of no use without these.
    if not finished and not any(path.is_dir() for path in room.glob(".work/*")):
        shutil.rmtree(room.parent, ignore_errors=True)


def _paths(stages: Sequence[str]) -> Iterator[Path]:
    """The folders of stages, and those of their curves."""
    for name in stages:
        yield Path(name)
        yield Path("logs") / name
