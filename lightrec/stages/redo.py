"""Redoing a run: its new stages wait out of sight and take the place of the old ones together.

The new stages are made in ``.work/next/NAME``, a run folder of its own, in which the stages that
stay are links. Until the last new one is finished, the run answers as before. The exchange is a
few renames; a note of it is written first, so that a run that is stopped between two of them is
completed by the next command.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightrec.data.files import STAMP


def waiting_room(run: Path) -> Path:
    """Give the folder in which a run's new stages wait."""
    return run / ".work" / "next" / run.resolve().name


def prepare(run: Path, redone: Sequence[str], kept: Sequence[str]) -> Path:
    """Make the waiting room ready; finished and begun stages in it stay.

    :param run: a run folder.
    :param redone: stages that will be made there.
    :param kept: stages that they may read, as they are.
    :returns: the waiting room.
    """
    room = waiting_room(run)
    (room / "logs").mkdir(parents=True, exist_ok=True)
    for path in _paths(redone):
        if (room / path).is_symlink():
            (room / path).unlink()
    for path in _paths(kept):
        _remove(room / path)
        if (run / path).exists():
            up = os.path.relpath(run / path.parent, room / path.parent)
            (room / path).symlink_to(Path(up) / path.name)
    return room


def drop(room: Path, stages: Sequence[str]) -> None:
    """Take away stages that wait and read one that is about to be made anew."""
    for name in stages:
        _remove(room / name)


def exchange(run: Path, redone: Sequence[str]) -> None:
    """Put the stages that wait in the place of the old ones."""
    shutil.rmtree(run / ".work" / "old", ignore_errors=True)
    note = _note(run)
    note.with_suffix(".partial").write_text(json.dumps([*redone]))
    os.replace(note.with_suffix(".partial"), note)
    complete(run)


def complete(run: Path) -> None:
    """Complete an exchange that was stopped between two renames, where there is one."""
    note = _note(run)
    if not note.is_file():
        return
    room, old = waiting_room(run), run / ".work" / "old"
    redone = json.loads(note.read_text())
    for path in _paths(redone):
        if not (room / path).exists():
            continue  # it was moved before the stop
        for place in (old / path, run / path):
            place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(run / path):
            os.replace(run / path, old / path)
        os.replace(room / path, run / path)
    note.unlink()
    for begun in (old, *(run / ".work" / name for name in redone)):
        shutil.rmtree(begun, ignore_errors=True)
    tidy(run)


def tidy(run: Path) -> None:
    """Take the waiting room away where nothing in it is finished or begun."""
    room = waiting_room(run)
    work = room / ".work"
    # Notes next to the stages' folders are of no use without these.
    unfinished = work.is_dir() and any(path.is_dir() for path in work.iterdir())
    if not unfinished and not any(_real(room)):
        shutil.rmtree(room.parent, ignore_errors=True)


def _note(run: Path) -> Path:
    return run / ".work" / "exchange.json"


def _paths(stages: Sequence[str]) -> Iterator[Path]:
    """The folders of stages, and those of their curves."""
    for name in stages:
        yield Path(name)
        yield Path("logs") / name


def _real(room: Path) -> Iterator[Path]:
    """The stages that wait, links apart."""
    return (path.parent for path in room.glob(f"*/{STAMP}") if not path.parent.is_symlink())


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
