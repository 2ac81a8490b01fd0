"""Day by day: a run that is updated each day, one trained anew, one left as it was, and popularity.

All rank the events of the day after. ``kills`` kills updates at random moments: who answers then,
and what the same command makes at last. Runs lie in the system's folder for temporary files, so
that a stopped benchmark goes on.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

import lightrec
from benchmarks import LIGHTREC
from benchmarks.measure import Cell, cpu_seconds
from lightrec.data.store import padded
from lightrec.evaluation.base import keys_of
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Column
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.metrics import event_metrics, mean_ranks
from lightrec.run import Run

DAYS, DAY = 30, 86_400
BATCH = 128
Answer = tuple[int, list[tuple]]
"""A version's number, and the lists of all users with scores."""


def next_events(before: Path, day: Path, repeats: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Users' events up to the end of a day in order, and those of the day to be foretold.

    Of these, ``place`` is the user's position in the first; an event without a history is left out,
    and where items do not repeat one about an item that the user had.
    """
    log = pl.concat([pl.read_csv(before), pl.read_csv(day)]).select(
        pl.col("user", "item").cast(pl.String), "time"
    )
    log = log.sort("user", "time", maintain_order=True).with_row_index("place")
    first = pl.read_csv(day)["time"].min()
    fresh = log.filter(
        pl.col("time") >= first, pl.col("place") > pl.col("place").min().over("user")
    )
    if not repeats:
        had = log.group_by("user", "item", maintain_order=True).agg(pl.col("place").min())
        fresh = fresh.join(had, on=["user", "item", "place"], how="semi")
    return log, fresh


@torch.inference_mode()
def gains(
    run: Run, score: Callable[[Tensor], Tensor], log: pl.DataFrame, day: pl.DataFrame
) -> Tensor:
    """NDCG@10 of each event, (E,): 0 where the run does not know the item."""
    store = run.data
    numbers = {item: n for n, item in enumerate(store.catalog[Column.ITEM], start=1)}
    known = log["item"].replace_strict(numbers, default=0, return_dtype=pl.Int32).to_numpy()
    begins = log.group_by("user").agg(pl.col("place").min().alias("begin"))
    day = day.join(begins, on="user", how="left", maintain_order="left")
    starts, ends = (day[name].to_numpy().astype(np.int64) for name in ("begin", "place"))
    # Items that a run does not know leave no gaps in histories.
    there = np.concatenate([[0], np.cumsum(known > 0)])
    kept, found = known[known > 0], []
    for at in range(0, day.height, BATCH):
        rows = slice(at, at + BATCH)
        history = torch.from_numpy(padded(kept, there[starts[rows]], there[ends[rows]]))
        target = torch.from_numpy(known[ends[rows]].astype(np.int64))
        ranks = mean_ranks(score(history), target, None if store.repeats else history)
        found.append(event_metrics(ranks)["ndcg@10"].where(target > 0, 0.0))
    return torch.cat(found)


def judge(updated: Path, anew: Path, before: Path, day: Path) -> dict[str, float]:
    """Means, and the differences from training anew with their intervals over users."""
    runs = {"update": Run(updated), "anew": Run(anew), "left": Run(updated, follow=False)}
    log, fresh = next_events(before, day, runs["anew"].data.repeats)
    own = {
        name: gains(run, lambda history, run=run: run.blend.scores(history), log, fresh)
        for name, run in runs.items()
    }
    store = runs["anew"].data
    popular = Popularity().fit(Evidence.of(store, torch.zeros(store.num_items + 1, 0)))
    own["popularity"] = gains(runs["anew"], popular.scores, log, fresh)
    users = torch.from_numpy(fresh["user"].rank("dense").cast(pl.Int64).to_numpy() - 1)
    metrics: dict[str, float] = {"events": float(len(users))}
    metrics |= {f"{name}/ndcg@10": float(values.mean()) for name, values in own.items()}
    ahead = bootstrap_interval(own["update"] - own["anew"], users)
    metrics |= keys_of("update-minus-anew/ndcg@10", ahead)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def folder(cell: Cell) -> Path:
    """Write the log's last days, once, and name the folder of files and runs.

    ``base.csv`` ends before the first of the days; of day K there are ``day-K.csv`` and
    ``upto-K.csv``.
    """
    where = Path(tempfile.gettempdir()) / "lightrec-benchmark-daily" / Path(cell["log"]).stem
    where.mkdir(parents=True, exist_ok=True)
    log = pl.read_csv(cell["log"]).sort("time", maintain_order=True)
    of_day = log["time"] // DAY
    days = of_day.unique().sort().to_list()[-DAYS - 1 :]
    shutil.copyfile(cell["items"], where / "items.csv")
    log.filter(of_day < days[0]).write_csv(where / "base.csv")
    for number, day in enumerate(days, start=1):
        log.filter(of_day == day).write_csv(where / f"day-{number}.csv")
        log.filter(of_day <= day).write_csv(where / f"upto-{number}.csv")
    return where


def train(cell: Cell, log: Path, out: Path, *more: str) -> float:
    """Train on a log, and count CPU seconds."""
    items = ["--items", str(log.parent / "items.csv"), "--seed", str(cell.seed)]
    words = ["run", *cell["recipe"], "--log", str(log), *items, "--until", "ranker", *more]
    return cpu_seconds([LIGHTREC, *words, "--out", str(out)])


def measure(cell: Cell) -> dict[str, float]:
    """Update up to a day, train anew on all up to it, and judge both on the day after."""
    where, day = folder(cell), cell["day"]
    run = where / "-".join(["run", str(cell.seed), *cell["recipe"]])
    anew, seconds = cell.out / "anew", 0.0
    if not Run(run).has("ranker"):
        train(cell, where / "base.csv", run)
    if Run(run).version > day:
        raise SystemExit(f"{run} is beyond day {day}: remove it to begin again.")
    for number in range(Run(run).version, day + 1):
        words = ["update", str(run), "--log", str(where / f"day-{number}.csv")]
        seconds = cpu_seconds([LIGHTREC, *words])
    again = train(cell, where / f"upto-{day}.csv", anew)
    found = judge(run, anew, where / f"upto-{day}.csv", where / f"day-{day + 1}.csv")
    return found | {"update/cpu_seconds": seconds, "anew/cpu_seconds": again}


def answer(run: Path) -> Answer:
    """Ask a run for everybody's list."""
    recommender = lightrec.load(run)
    return recommender.run.version, pl.concat(recommender.recommend_all()).rows()


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


def killed(pristine: Path, run: Path, log: Path, kills: int, seed: int) -> dict[str, float]:
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
    if old == new:
        raise RuntimeError("The update changes nothing, so that nothing can be told from it.")
    while (number := found["old"] + found["new"]) < kills:
        renew(pristine, run)
        moment = chance.uniform(0, usual)
        if update(run, log, moment):
            continue  # it was quicker than usual: another moment
        then = answer(run)
        who = [name for name, one in (("old", old), ("new", new)) if then == one]
        print(f"kill {number + 1}, after {moment:.1f} s: {who or 'neither'} answers", flush=True)
        if not who:
            raise RuntimeError(f"Killed after {moment:.2f} s, neither version answers.")
        found[who[0]] += 1
        update(run, log)
        found["equal"] += answer(run) == new
    return {"kills": kills, "usual_seconds": usual, **found}


def renew(pristine: Path, run: Path) -> None:
    """Put a copy of a run in the place of the last one."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(pristine, run, symlinks=True)


def kills(cell: Cell) -> dict[str, float]:
    """Kill updates with a log's first day; how well a ranker was trained is of no matter."""
    where = folder(cell)
    run = where / f"killed-{cell.seed}"
    train(cell, where / "base.csv", run, "--ranker.trainer.max_epochs", "2")
    return killed(run, cell.out / "copy", where / "day-1.csv", cell["kills"], cell.seed)
