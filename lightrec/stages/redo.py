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
from lightrec.run import CURRENT
from lightrec.stages.stage import write_whole

NOTE = Path(".work", "exchange.json")
"""In a run that exchanges stages: which ones."""


def waiting_room(run: Path) -> Path:
    """Give the folder in which a run's new stages wait."""
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
    note = run / NOTE
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
