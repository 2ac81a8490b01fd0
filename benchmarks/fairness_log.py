"""One seed of equal exposure on a real log; not run by hand.

The generic recipes run on CiaoDVD, whose films have 17 genres. Two policies of one class learn in
user model A, without and with the limit that each genre is shown as often as people chose it. Both
are judged in user model B.
"""

import json
import sys
from pathlib import Path

import torch
from lightrec_audit.exposure import events_of_providers, spread_of
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.cells import data_folder
from lightrec.evaluation.arena import arena
from lightrec.keys import PADDING, Key
from lightrec.run import Run
from lightrec.stages.run import run

WAYS = ("fair", "plain")
GENRE = "genre"
SESSIONS, JUDGED = 1_000, 3
LIMIT = {"class_path": "EqualExposure", "init_args": {"provider": GENRE, "tolerance": 0.02}}
REWARDS = {
    "plain": "EngagementReward",
    "fair": {
        "class_path": "ConstrainedReward",
        "init_args": {"reward": "EngagementReward", "limits": [LIMIT]},
    },
}
SETTINGS = {
    # A weight of utilities alone cannot tell genres apart.
    "data.init_args.policy.init_args.size": 32,
    "model.init_args.learning_rate": 0.003,
    "model.init_args.anchor": 1.0,
    "trainer.max_epochs": 10,
}


def train(way: str, seed: int, out: Path, more: list[str]) -> None:
    """Do all stages up to the policy; those before it are done once."""
    given = SETTINGS | {"data.init_args.reward": REWARDS[way]}
    words = [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in given.items()
    ]
    log, policy = data_folder() / "ciaodvd", {"policy": [*words, *more]}
    run("generic", out=out, log=log, seed=seed, until="policy", overrides=policy)


def measure(name: str, folder: Path, seed: int) -> dict[str, float]:
    """Play in user model B, and say what was accepted and who was shown."""
    played = arena(str(folder), SESSIONS, seed, {})
    store = Run(folder).data
    owners, worth = events_of_providers(store, GENRE)
    providers = torch.from_numpy(owners)
    shown = torch.zeros(len(worth), dtype=torch.float64)

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        slate = state[Key.ACTION][alive].flatten()
        shown.add_(torch.bincount(providers[slate[slate != PADDING] - 1], minlength=len(worth)))

    sessions = played.play(
        played.policy(name), JUDGED * SESSIONS, seed, deterministic=True, record=record
    )
    found = spread_of(shown.numpy(), worth, worth < 0)
    ratio = shown.numpy() / shown.sum().item() * worth.sum() / worth
    large = worth > worth.sum() / 100
    return {
        "accepted": float(sessions.accepted.mean()),
        "misplaced": found["misplaced"],
        "least": float(ratio[large].min()),
        "most": float(ratio[large].max()),
    }


def main() -> None:
    """Measure a seed, and write ``metrics.json``."""
    seed, out, *more = sys.argv[1:]
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    for way in WAYS:
        train(way, int(seed), Path(out) / "run", more)
        names = ["policy"] if way == "fair" else ["policy", "greedy", "popularity"]
        for name in names:
            key = way if name == "policy" else name
            each = measure(name, Path(out) / "run", int(seed))
            print(key, each, flush=True)
            found |= {f"{key}/{metric}": value for metric, value in each.items()}
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
