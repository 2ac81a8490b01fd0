"""The closed loop of one arm: every day it shows, logs what was taken, and learns from the log.

On the days before the first round all people of the world `tastes` looked for things by themselves,
and a run was made from that log. In a round, which is a day, some of them come, drawn anew. All
arms meet the same people under the same chance, and each learns from its own log alone. A stopped
arm goes on with the round that it had not finished.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import polars as pl
import torch
from safetensors.torch import load_file
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.cells import LIGHTREC
from lightrec.data.files import save_tensors
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import LOG_FILE, CanonicalReader, write_folder
from lightrec.evaluation.arena import Arena, arena
from lightrec.evaluation.contenders import EPSILON
from lightrec.intervals import mean_interval, ratio_interval
from lightrec.keys import Column, Key
from lightrec.policies.baselines import PopularityPolicy
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.run import Run
from lightrec.simulators.rollout import Contender, SessionLog

ARMS = ("update", "anew", "never", "popularity", "oracle")
ROUNDS = 10
PEOPLE = 1_000
BEFORE, LOOKED = 8, 3
"""Days before the first round, and slates that each person looks through on each.

These are drawn by the person's own taste: item after item with probability ∝ exp(logit).
"""
COMING, SLATES = 250, 3
"""People who come in a round, and slates that each of them is shown."""
HEAD = 0.1
"""Share of the items that count as the most popular: those taken most before the first round."""


def world(seed: int, drift: float, day: int) -> Arena:
    """Set the world up on a day: before the first round with everybody, then with who comes."""
    settings = {"seed": seed, "drift": drift, "day": day}
    everybody = arena("Tastes", PEOPLE, seed, settings | {"max_steps": LOOKED})
    if day < BEFORE:
        return everybody
    coming = torch.randperm(PEOPLE, generator=torch.Generator().manual_seed(chance(seed, day)))
    on = arena("Tastes", COMING, seed, settings | {"max_steps": SLATES})
    return replace(on, users=coming[:COMING].sort().values, people=everybody.people)


def command(*words: str | Path) -> float:
    """Do a command of lightrec; give the CPU seconds that it took.

    :raises RuntimeError: where it fails.
    """
    process = subprocess.Popen([LIGHTREC, *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"lightrec {' '.join(map(str, words))} failed with status {status}.")
    return usage.ru_utime + usage.ru_stime


def train(log: Path, out: Path, seed: int) -> float:
    """Make a run from a log; give the CPU seconds."""
    shutil.rmtree(out, ignore_errors=True)
    how = ("--repeats", "--until", "ranker", "--seed", str(seed), "--out", out)
    return command("run", "generic", "--log", log, *how)


def prepare(room: Path, seed: int, drift: float) -> None:
    """Make the log of before the first round and the run from it, unless they are there."""
    if not Run(room / "base").has("ranker"):
        days = [room / "days" / str(day) for day in range(BEFORE)]
        for day, out in enumerate(days):
            on = world(seed, drift, day)
            play(on, on.policy("oracle"), chance(seed, day), out)
        train(joined(days, room / "before"), room / "base", seed)


def chance(seed: int, day: int) -> int:
    """Give the seed of a day's chance."""
    return 1_000 * seed + day


def joined(logs: Sequence[Path], out: Path) -> Path:
    """Write logs one after the other as one, with the items and people of the first."""
    parts = [CanonicalReader().read(log) for log in logs]
    log = InteractionLog(pl.concat([part.log.events for part in parts]))
    write_folder(Tables(log, parts[0].catalog, parts[0].users), out)
    return out


def play(on: Arena, who: Contender, seed: int, out: Path | None) -> dict[str, Tensor]:
    """Play a day, and write its log into a folder.

    :param out: None for who has no log, and shows the best slates alone.
    :returns: what each person took, ``reward`` (U,), 0 of who did not come, and ``shown`` (N + 1,):
        how often each item was in a slate that was not drawn at random.
    """
    names = on.people.rows[Column.USER].to_list()
    log = SessionLog(on.catalog.rows[Column.ITEM].to_list(), names, on.simulator.day)
    shown = torch.zeros(on.simulator.num_items + 1)

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        log(state, following, alive)
        # A best slate has at least the probability 1 - ε.
        best = torch.ones_like(alive) if out is None else state[Key.LOG_PROBABILITY].exp() > 0.5
        items = state[Key.ACTION][alive & best].flatten()
        shown.index_add_(0, items, torch.ones(len(items)))

    found = on.play(who, len(on.users), seed, deterministic=out is None, record=note)
    if out is not None:
        write_folder(Tables(log.log(), on.catalog, on.people), out)
    reward = torch.zeros(PEOPLE).index_copy_(0, on.users, found.accepted[0])
    return {"reward": reward, "shown": shown}


def taken(on: Arena, logs: Sequence[Path]) -> Tensor:
    """Count how often each item was taken in logs: (N + 1,) float32."""
    events = pl.concat([pl.read_parquet(log / LOG_FILE, columns=[Column.ITEM]) for log in logs])
    numbers = on.catalog.rows.select(Column.ITEM).with_row_index("number", 1)
    found = events.join(numbers, on=Column.ITEM)["number"].to_torch().long()
    return found.bincount(minlength=on.simulator.num_items + 1).float()


def learn(arm: str, room: Path, seed: int, logs: Sequence[Path]) -> float:
    """Let an arm learn from the last of its logs, or from all; give the CPU seconds."""
    run = room / arm / "run"
    if arm == "update":
        if not run.is_dir():
            shutil.copytree(room / "base", run, symlinks=True)
        return command("update", run, "--log", logs[-1], "--keep", "1")
    return train(joined(logs, room / arm / "log"), run, seed)


def contender(arm: str, room: Path, on: Arena, logs: Sequence[Path]) -> Contender:
    """Give who shows in a round, after all logs before it."""
    if arm == "oracle":
        return on.policy(arm)
    if arm == "popularity":
        return EpsilonGreedy(PopularityPolicy.from_appeal(taken(on, logs)), EPSILON)
    first = arm == "never" or len(logs) == 1
    return on.policy(str(room / "base" if first else room / arm / "run"))


def go(arm: str, room: Path, seed: int, drift: float) -> dict[str, float]:
    """Go through an arm's rounds; give the CPU seconds of what it learned before each."""
    own, logs = room / arm, [room / "before"]
    own.mkdir(exist_ok=True)
    for turn in range(1, ROUNDS + 1):
        played, log = own / f"round-{turn}.safetensors", own / f"round-{turn}"
        if not played.is_file():
            cost, noted = 0.0, own / f"learned-{turn}"
            if arm in ("update", "anew") and turn > 1:
                if not noted.is_file():
                    noted.write_text(str(learn(arm, room, seed, logs)))
                cost = float(noted.read_text())
            day = BEFORE + turn - 1
            on = world(seed, drift, day)
            out = None if arm == "oracle" else log
            found = play(on, contender(arm, room, on, logs), chance(seed, day), out)
            save_tensors(found | {"cpu_seconds": torch.tensor(cost)}, played)
        logs.append(log)
    costs = [float(each["cpu_seconds"]) for each in rounds(own)]
    return {f"round-{turn}/cpu_seconds": cost for turn, cost in enumerate(costs, start=1)}


def rounds(own: Path) -> list[dict[str, Tensor]]:
    """Read what an arm's rounds were."""
    return [load_file(own / f"round-{turn}.safetensors") for turn in range(1, ROUNDS + 1)]


def judged(room: Path, seed: int, drift: float) -> dict[str, float]:
    """Compare the arms by round, and by the means of the rounds after the first.

    In the first round the arms that learn are still the same.
    """
    on = world(seed, drift, 0)
    before = taken(on, [room / "before"])
    head = before.topk(round(HEAD * on.simulator.num_items)).indices
    metrics: dict[str, float] = {}
    means = {}
    for arm in ARMS:
        found = rounds(room / arm)
        rewards = torch.stack([each["reward"] for each in found])
        # So that the mean over people is that over visits.
        means[arm] = rewards[1:].mean(0) * PEOPLE / COMING
        for turn, each in enumerate(found, start=1):
            shown = each["shown"]
            metrics |= {
                f"{arm}/round-{turn}/reward": float(each["reward"].sum() / COMING),
                f"{arm}/round-{turn}/coverage": float((shown[1:] > 0).float().mean()),
                f"{arm}/round-{turn}/popular": float(shown[head].sum() / shown.sum()),
            }
        for name in ("coverage", "popular"):
            turns = [metrics[f"{arm}/round-{turn}/{name}"] for turn in range(2, ROUNDS + 1)]
            metrics[f"{arm}/{name}"] = fmean(turns)
        metrics |= _told(f"{arm}/reward", mean_interval(means[arm]))
    for arm in ARMS[:-1]:
        metrics |= _told(f"{arm}/regret", mean_interval(means["oracle"] - means[arm]))
    metrics |= _told("update-minus-never", mean_interval(means["update"] - means["never"]))
    ratio = ratio_interval(means["update"], means["anew"], paired=True)
    return metrics | (_told("update-of-anew", ratio) if ratio else {})


def _told(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}/low", f"{name}/high"), found, strict=True))


if __name__ == "__main__":
    room, arm, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[5])
    seed, drift = int(sys.argv[3]), float(sys.argv[4])
    room.mkdir(parents=True, exist_ok=True)
    if arm == "judged":
        found = judged(room, seed, drift)
    else:
        prepare(room, seed, drift)
        found = go(arm, room, seed, drift)
    out.write_text(json.dumps(found))
