"""Prepared logs of the world `far`, with its item vectors and its truth, kept between cells."""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.keys import Column
from lightrec.simulators.worlds.far import Far
from lightrec.simulators.worlds.far_log import FarLog, HeldOut
from lightrec.users.choice_data import ITEMS

HELD_OUT = 4000
FRESH = "truth.safetensors"
LABELS = "labels.safetensors"


class Repeating(Domain):
    """Items may be chosen again and again."""

    repeats = True


def laws(world: str, seed: int) -> FarLog:
    """Give the laws: `far` as it is, or `myopic`, whose people choose by the reward."""
    return FarLog(seed, discount=0.0) if world == "myopic" else FarLog(seed)


def prepared(logs: Path, world: str, sessions: int, seed: int) -> Path:
    """Write a log once, and give its folder: data, ranker (the item vectors), truth and labels."""
    folder = logs / f"{world}-{sessions}-{seed}"
    if folder.is_dir():
        return folder
    logs.mkdir(exist_ok=True, parents=True)
    work = Path(tempfile.mkdtemp(dir=logs))
    try:
        write(work, laws(world, seed), sessions, seed)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def write(folder: Path, world: FarLog, sessions: int, seed: int) -> None:
    """Write one log with all that belongs to it."""
    log, catalog = world.log(sessions)
    store = prepare(
        log,
        folder / "data",
        catalog=catalog,
        domain=Repeating(),
        k_core=0,
        new_items=True,
        seed=seed,
    )
    names = store.catalog[Column.ITEM].to_list()
    own = [int(name[5:]) for name in names]
    (folder / "ranker").mkdir()
    vectors = Far(1, laws=world).item_vectors[[0, *own]].contiguous()
    save_file({"vectors": vectors}, folder / "ranker" / ITEMS)
    world.held_out(HELD_OUT).reindex(names).save(folder / FRESH)
    walk = world.walk(sessions)
    steps = range(world.UNLOGGED, world.SESSION)
    history = torch.stack([walk.choices[:, t - world.LOGGED : t] for t in steps], 1)
    offers, rewards = walk.offers[:, world.UNLOGGED :], walk.rewards[:, world.UNLOGGED :]
    labels = HeldOut(*(x.flatten(0, 1) for x in (history, offers, rewards, rewards)))
    labels.reindex(names).save(folder / LABELS)
