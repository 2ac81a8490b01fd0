"""What real logs without declines say of the long run: a cell of the benchmark `long_run`.

    python -m benchmarks.long_run_sittings ml-100k 3 OUT --data FOLDER

A sitting lasts until half an hour passes without an event. Nobody declines anything there, and
still it is known after each event whether the sitting goes on, and after each sitting when its user
comes back, or that he did not while the log lasts. A fifth of the users, drawn by the seed, are
held out.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import torch

from benchmarks.cells import data_folder
from benchmarks.daily_logs import SETS
from benchmarks.long_run_run import likelihoods
from benchmarks.session_fitting import SessionSteps, fit_sessions
from benchmarks.session_model import SessionModel
from lightrec.data.store import SESSION_GAP
from lightrec.nn.cooccurrence import cooccurrence, leading_vectors

GAP = SESSION_GAP // 1000
"""Seconds."""
PERIODS = (1 / 24, 0.25, 1.0, 2.0, 4.0, 7.0, 14.0, 28.0, 56.0)
"""Days at which periods of absence end; the first begins with a new sitting."""
DAY = 24 * 3600
SIZE, REACH, DECAY = 8, 10, 0.8
"""Length of the item vectors, which are those of what is chosen near each other."""
HELD_OUT = 0.2


def steps_of(log: pl.DataFrame) -> tuple[SessionSteps, torch.Tensor]:
    """Read sittings, and give the items' vectors (N + 1, SIZE + 1), popularity being last.

    :param log: ``user``, ``item``, and ``time`` in seconds.
    """
    log = log.with_columns(pl.col("user", "item").rank("dense").cast(pl.Int64)).sort(
        "user", "time", maintain_order=True
    )
    user, item, time = (log[name].to_numpy() for name in ("user", "item", "time"))
    ends = np.append(user[1:] != user[:-1], True)
    offsets = np.concatenate([[0], np.flatnonzero(ends) + 1])
    gap = np.append(np.diff(time), 0)
    last = time.max()
    ended = ends | (gap > GAP)
    # Who was seen less than half an hour before the log's end may have gone on.
    cut = ends & (time + GAP > last)
    begins = np.append(True, ended[:-1])
    order = np.arange(len(log))
    step = order - np.maximum.accumulate(np.where(begins, order, 0)) + 1
    away = np.where(ends, last - time, gap) / DAY
    # In how many periods there was surely no sitting; whoever came back did so in the next.
    without = np.searchsorted(PERIODS, away, side="right")
    seen = ended & ~ends & (without < len(PERIODS))
    since = np.log1p(np.where(begins, 0, np.append(0, gap[:-1])) / 60)
    steps = SessionSteps(
        user=torch.from_numpy(user),
        context=torch.from_numpy(since).float().unsqueeze(1),
        slate=torch.from_numpy(item).unsqueeze(1),
        place=torch.zeros(len(log), dtype=torch.int64),
        value=torch.ones(len(log)),
        step=torch.from_numpy(step).unsqueeze(1),
        accepted=torch.from_numpy(step).float().unsqueeze(1),
        ended=torch.from_numpy(ended),
        cut=torch.from_numpy(cut),
        absence=torch.from_numpy((without + seen) * ended),
        seen=torch.from_numpy(seen),
    )
    count = int(item.max())
    near = cooccurrence(item.astype(np.int32), offsets, count, DECAY, REACH)
    popularity = torch.bincount(torch.from_numpy(item), minlength=count + 1).float().log1p()
    vectors = torch.cat([leading_vectors(near, SIZE), popularity.unsqueeze(1)], 1)
    return steps, vectors


def measure(name: str, seed: int, data: Path) -> dict[str, float]:
    """Fit users to four fifths of a log's users, and predict the rest."""
    steps, vectors = steps_of(SETS[name](data)[0])
    people = int(steps.user.max())
    order = torch.randperm(people, generator=torch.Generator().manual_seed(seed))
    test = torch.zeros(people + 1, dtype=torch.bool)
    test[1 + order[: int(HELD_OUT * people)]] = True
    known, asked = steps.at(~test[steps.user]), steps.at(test[steps.user])
    torch.manual_seed(seed)
    model = SessionModel(len(vectors) - 1, vectors.shape[1], 1, periods=len(PERIODS))
    model = fit_sessions(model.set_items(vectors), known, seed)
    found = likelihoods(vectors, model, known, asked, seed)
    counts = {"sittings": float(steps.ended.sum()), "events": float(len(steps))}
    return counts | {key: value for key, value in found.items() if not key.startswith("choice")}


def main() -> None:
    """Measure a cell, and write ``metrics.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SETS)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    chosen = parser.parse_args()
    if chosen.data is None:
        sys.exit("Give the folder of the data sets by --data, or set LIGHTREC_TEST_DATA.")
    torch.set_num_threads(1)
    found = measure(chosen.name, chosen.seed, chosen.data)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "metrics.json").write_text(json.dumps(found))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
