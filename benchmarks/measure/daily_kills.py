"""Updates killed at random moments: who answers then, and what the same command makes at last."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl

import lightrec
from benchmarks import LIGHTREC
from benchmarks.measure import Cell
from benchmarks.measure.daily import folder, train

Answer = tuple[int, pl.DataFrame]
"""A version's number, and the lists of all users with scores."""


def answer(run: Path) -> Answer:
    """Ask a run for everybody's list."""
    recommender = lightrec.load(run)
    return recommender.run.version, pl.concat(list(recommender.recommend_all()))


def same(one: Answer, other: Answer) -> bool:
    """Tell whether version, lists and scores are the same, to the last bit."""
    return one[0] == other[0] and one[1].equals(other[1])


def update(run: Path, log: Path, seconds: float | None = None) -> bool:
    """Update a run, or kill the update with all its processes after so many seconds.

    :returns: whether it ended by itself.
    :raises RuntimeError: where it fails.
    """
    command = [LIGHTREC, "update", str(run), "--log", str(log)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    if status:
        raise RuntimeError(f"The update failed with status {status}.")
    return True


def kill(pristine: Path, run: Path, log: Path, kills: int, seed: int) -> dict[str, float]:
    """Kill updates of copies of a run, each at a moment of its own, and count what was seen.

    :param pristine: the run, which stays as it is.
    :param run: where its copies lie, one after the other.
    :raises RuntimeError: where an answer is neither the old version's nor the new one's.
    """
    chance, found = random.Random(seed), {"old": 0, "new": 0, "equal": 0}
    renew(pristine, run)
    old, begin = answer(run), time.monotonic()
    update(run, log)
    usual, new = time.monotonic() - begin, answer(run)
    if same(old, new):
        raise RuntimeError("The update changes nothing, so that nothing can be told from it.")
    while (number := found["old"] + found["new"]) < kills:
        renew(pristine, run)
        moment = chance.uniform(0, usual)
        if update(run, log, moment):
            continue  # it was quicker than usual: another moment
        then = answer(run)
        who = [name for name, one in (("old", old), ("new", new)) if same(then, one)]
        print(f"kill {number + 1}, after {moment:.1f} s: {who or 'neither'} answers", flush=True)
        if not who:
            raise RuntimeError(f"Killed after {moment:.2f} s, neither version answers.")
        found[who[0]] += 1
        update(run, log)
        found["equal"] += same(answer(run), new)
    return {"kills": kills, "usual_seconds": usual, **found}


def renew(pristine: Path, run: Path) -> None:
    """Put a copy of a run in the place of the last one."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(pristine, run, symlinks=True)


def measure(cell: Cell) -> dict[str, float]:
    """Kill updates with a log's first day; how well a ranker was trained is of no matter."""
    where = folder(cell)
    run = where / f"killed-{cell.seed}"
    train(cell, where / "base.csv", run, "--ranker.trainer.max_epochs", "2")
    return kill(run, cell.out / "copy", where / "day-1.csv", cell["kills"], cell.seed)
