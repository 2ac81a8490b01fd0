"""One cell of the benchmark `user_models`: a log, a user model fitted to it, and what it is worth.

``python -m benchmarks.user_models_fit OUT LOG [settings]`` leaves ``metrics.json`` in OUT.
"""

import argparse
import json
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.user_models_logs import beside, mind
from benchmarks.user_models_world import HabitWorld
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.data.store import TEST, TRAIN, EventStore
from lightrec.evaluation.arena import Arena
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.stages.run import run
from lightrec.users.choice_data import ITEMS, ChoiceData
from lightrec.users.choice_model import RecurrentChoice
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel

AT_ONCE = 2500
SESSIONS = 100_000


class Repeating(Domain):
    """Items may be shown, and picked, again and again."""

    repeats = True


def staged(simulator) -> Arena:
    """Let random slates be shown in a simulator."""
    random = {"random": lambda: RandomPolicy(simulator.num_items)}
    users = torch.arange(AT_ONCE)
    catalog = simulator.catalog() if isinstance(simulator, HabitWorld) else None
    return Arena(type(simulator).__name__, simulator, users, catalog, None, random)


def write_world(world: HabitWorld, out: Path, seed: int) -> EventStore:
    """Roll random slates in a world and prepare the log; the last tenth tests."""
    staged(world).write_log("random", SESSIONS * 5 // 4, seed, out / "log")
    store = prepare(
        InteractionLog.read_parquet(out / "log" / "log.parquet"),
        out / "data",
        catalog=world.catalog(),
        domain=Repeating(),
        k_core=0,
        split="global-time",
        seed=seed,
    )
    number = [int(name[5:]) for name in store.catalog["item"]]
    vectors = world.item_vectors[[0, *number]].clone()
    (out / "ranker").mkdir()
    save_file({"vectors": vectors}, out / "ranker" / ITEMS)
    return store


def train(out: Path, seed: int, epochs: int, model: dict, data: dict) -> dict[str, float]:
    """Fit a user model and write it to ``out / "users_a"``; give its metrics."""
    torch.manual_seed(seed)
    ranker = str(out / "ranker") if (out / "ranker").is_dir() else None
    given = ChoiceData(str(out / "data"), ranker=ranker, seed=seed, **data)
    module = ChoiceModule(given.num_items, given.vector_size, **model)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, given)
    (out / "users_a").mkdir(exist_ok=True)
    return module.write(out / "users_a")


def lengths(sessions: np.ndarray | Tensor, longest: int) -> np.ndarray:
    """Shares (longest + 1,) of sessions of each length."""
    counts = np.bincount(np.asarray(sessions).astype(np.int64).ravel(), minlength=longest + 1)
    return counts / counts.sum()


def world(out: Path, seed: int, types: int, epochs: int) -> dict[str, float]:
    """Fit a user model to a world's log and compare it with the world's own law."""
    truth = HabitWorld(AT_ONCE, seed=seed, types=types)
    store = write_world(truth, out, seed)
    length, read = truth.max_steps, 20
    metrics = train(
        out,
        seed,
        epochs,
        {
            "model": RecurrentChoice,
            "history_length": read,
            "identity_precision": 1.0,
            "discount": 0.0,
        },
        {"history_length": read, "max_evaluated": None, "max_train": None, "batch_size": 1024},
    )
    tested = store.events(TEST)
    own = float(truth.log_likelihood(store)[tested].mean())
    metrics |= {
        "truth/log_likelihood": own,
        "truth/share_lost": metrics["log_likelihood"] / own - 1,
        "sessions/train": _sessions(store, TRAIN),
        "sessions/test": _sessions(store, TEST),
    }
    model = UserModel.load(out / "users_a")
    nobody = LogStarts(torch.zeros(AT_ONCE + 1, dtype=torch.int64), torch.zeros(0).long())
    simulator = UserModelSimulator(
        model,
        nobody,
        AT_ONCE,
        slate_size=truth.slate_size,
        max_steps=length,
        history_length=read,
        repeats=True,
    )
    on = staged(simulator)
    simulated = on.play(on.policy("random"), SESSIONS, seed + 1, deterministic=False)
    real = np.diff(store.session_offsets)
    both = lengths(real, length), lengths(simulated.length, length)
    halves = lengths(real[::2], length), lengths(real[1::2], length)
    metrics |= {
        "length/total_variation": float(np.abs(both[0] - both[1]).sum() / 2),
        "length/total_variation/real_halves": float(np.abs(halves[0] - halves[1]).sum() / 2),
        "length/real": float(real.mean()),
        "length/simulated": float(simulated.length.mean()),
    }
    return metrics


def real(out: Path, seed: int, log: str, data: Path) -> dict[str, float]:
    """Fit both user models to a real log, and set the calibrated ranker beside each."""
    if log == "mind":
        overrides = {
            "data": ["--k_core", "0", "--split", "global-time"],
            # Nearly no item has a text; item models take squares of many thousand items.
            "ranker": [
                *("--data.init_args.text_encoder", "null"),
                *("--model.init_args.item_models", "[]"),
                *("--trainer.max_epochs", "3"),
            ],
            **{stage: ["--data.init_args.nothing_rate", "0"] for stage in ("users_a", "users_b")},
        }
        events, items = mind(data / "mind-small-sample" / "MINDsmall_train", out)
        made = run(
            "generic",
            out=out / "run",
            log=events,
            items=items,
            seed=seed,
            until="users_b",
            overrides=overrides,
        )
    else:
        folder = data / "ml-100k"
        made = run(
            "video",
            out=out / "run",
            log=folder / "ml-100k.inter",
            seed=seed,
            until="users_b",
        )
    metrics: dict[str, float] = {}
    for stage in ("users_a", "users_b"):
        own = json.loads((made / stage / "metrics.json").read_text())
        metrics |= {f"{stage}/{key}": value for key, value in own.items()}
        noted = UserModel.load(made / stage).offers
        metrics |= beside(made, stage, noted)
        best = max(metrics[f"{stage}/{which}/log_likelihood"] for which in ("blend", "ranker"))
        metrics[f"{stage}/minus-popularity"] = own["log_likelihood"] - own["popularity"]
        metrics[f"{stage}/minus-ranker"] = own["log_likelihood"] - best
    return metrics


def _sessions(store: EventStore, part: int) -> int:
    events = np.asarray(store.parts)[store.session_offsets[:-1]]
    return int((events == part).sum())


def main() -> None:
    """Fit, and leave ``metrics.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("log", choices=["world", "ml-100k", "mind"])
    parser.add_argument("--data", type=Path, help="the folder with the real logs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--types", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.log == "world":
        metrics = world(chosen.out, chosen.seed, chosen.types, chosen.epochs)
    else:
        metrics = real(chosen.out, chosen.seed, chosen.log, chosen.data)
    (chosen.out / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
