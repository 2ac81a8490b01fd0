"""One cell of the benchmark `irl_sessions`: a way to choose sessions, and the reward's quality."""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightrec_lab.active import events_of, most_informative

from benchmarks.irl_logs import FRESH, prepared
from benchmarks.irl_run import BATCH, DISCOUNT, MODEL, TRAINING, judge
from lightrec.simulators.worlds.far_log import HeldOut
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel

SIZES = (250, 500, 1_000, 2_000)
WAYS = ("even", "active", "forget")
FORGET = 0.2
STEPS = 500
"""Batches learned from, whatever the size, at most so many times each session."""
MOST_EPOCHS = 30


def learn(folder: Path, chosen: np.ndarray, work: Path, forget: float, seed: int) -> ChoiceData:
    """Fit an ensemble and its reward to the choices of some sessions; leave them in ``work``."""
    torch.manual_seed(seed)
    paths = {"data": str(folder / "data"), "ranker": str(folder / "ranker")}
    given = {**paths, "batch_size": BATCH, "max_train": None, "seed": seed}
    pool = ChoiceData(**given)
    events = events_of(pool.store, chosen)
    np.save(work / "events.npy", events)
    data = ChoiceData(**given, events=str(work / "events.npy"), forget=forget)
    module = ChoiceModule(
        data.num_items,
        data.vector_size,
        members=3,
        discount=DISCOUNT,
        leave_rate=0.0,
        use_popularity=False,
        model=partial(PooledChoice, **MODEL),
        **TRAINING,
    )
    trainer = pl.Trainer(
        max_epochs=min(MOST_EPOCHS, -(-STEPS * BATCH // len(events))),
        accelerator="cpu",
        logger=False,
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    module.write(work)
    return pool


def main() -> None:
    """Choose, learn, judge, and choose again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = prepared(given.logs, "far", 10_000, given.seed)
    truth = HeldOut.load(folder / FRESH)
    # The same order for all ways, so that they begin with the same sessions.
    order = np.random.default_rng(given.seed).permutation(10_000)
    chosen, metrics = order[: SIZES[0]], {}
    for size, following in zip(SIZES, (*SIZES[1:], 0), strict=True):
        with tempfile.TemporaryDirectory() as work:
            forget = FORGET if given.way == "forget" else 0.0
            pool = learn(folder, chosen, Path(work), forget, given.seed)
            metrics[f"spearman@{size}"] = judge(UserModel.load(work), truth)["spearman"]
            if given.way == "active" and following:
                users = UserModel.load(work)
                rest = np.setdiff1d(order, chosen)
                asked = most_informative(users, pool, rest, following - size)
                chosen = np.concatenate([chosen, asked])
            else:
                chosen = order[:following]
    given.out.write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
