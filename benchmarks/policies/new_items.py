"""Items that are added after training, with a text only: are they shown as their like are?

    python -m benchmarks.policies.new_items metrics.json 0

One process a cell, one thread. PPO learns in the world `greed`, of whose items it sees titles and
texts alone. Then 20 items are added, twins of old ones: of the same direction, quality and bait,
put in words of their own. Both stand in the catalog at once, and slates are drawn.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from lightrec_worlds.tower import TowerPolicy
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.cells import Benchmark, markdown
from lightrec.cli.fit import fit
from lightrec.encoders.text import TextEncoder
from lightrec.keys import Key
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import play

TWINS = 20
SESSIONS = 100_000
FEWER = 20_000
"""Sessions of what is reported beside."""
LOOKED_AT, OFTEN = 10_000, 200
"""Originals are drawn evenly among the items that are shown so often in so many sessions."""
BATCH = 2_500
TRAINING = (
    "--trainer.max_epochs=12",
    "--trainer.accelerator=cpu",
    "--model.init_args.loss_settings.entropy_coeff=0.05",
    "--data.init_args.settings.words=varied",
    "--data.init_args.text_encoder=TextEncoder",
)

Metrics = dict[str, float]


def exposure(
    policy: TowerPolicy, data: WorldData, sessions: int, seed: int, deterministic: bool = False
) -> tuple[Tensor, float]:
    """Count how often each item is shown, (N + 1,) int64; and give the mean return."""
    world = data.make(BATCH)
    shown = torch.zeros(world.num_items + 1, dtype=torch.int64)

    def count(acted: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        shown.add_(torch.bincount(acted[Key.ACTION][alive].flatten(), minlength=len(shown)))

    torch.manual_seed(seed)
    returns = []
    for users in torch.arange(sessions).split(BATCH):
        played, _ = play(policy, world, users, seed, deterministic=deterministic, record=count)
        returns.append(played.reward.flatten())
    return shown, float(torch.cat(returns).mean())


def originals(shown: Tensor, seed: int) -> list[int]:
    """Draw the items that get twins evenly among those shown often enough, ascending."""
    often = (shown >= OFTEN).nonzero().squeeze(1)
    order = torch.randperm(len(often), generator=torch.Generator().manual_seed(seed))
    return often[order[:TWINS]].sort().values.tolist()


def compared(shown: Tensor, old: list[int], name: str) -> Metrics:
    """Set the exposure of the last items against that of their twins."""
    new, before = shown[-len(old) :].double(), shown[old].double()
    ratio = new / before
    return {
        f"{name}/mean": float(ratio.mean()),
        f"{name}/standard_error": float(ratio.std() / len(old) ** 0.5),
        f"{name}/median": float(ratio.median()),
        f"{name}/smallest": float(ratio.min()),
        f"{name}/largest": float(ratio.max()),
        f"{name}/total": float(new.sum() / before.sum()),
        f"{name}/shows_of_originals": float(before.mean()),
    }


def measure(seed: int) -> Metrics:
    """Train, add, play."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "policy"
        fit(f"--seed_everything={seed}", *TRAINING, config="worlds/ppo", out=out)
        policy = Policy.load(out)
        told = json.loads((out / "metrics.json").read_text())
    assert isinstance(policy, TowerPolicy)
    encoder = TextEncoder()
    old = WorldData("Greed", {"words": "varied"}, text_encoder=encoder)
    shown, drawn = exposure(policy, old, LOOKED_AT, 1000 + seed)
    chosen = originals(shown, seed)
    found = {"mode/return": told["validation/return"], "drawn/return": drawn}
    found["shown_often"] = int((shown >= OFTEN).sum())
    for words, sessions in (("varied", SESSIONS), ("unheard", FEWER)):
        data = WorldData("Greed", {"words": words, "twins": chosen}, text_encoder=encoder)
        vectors = data.vectors[old.num_items + 1 :]
        grown = policy.with_items(vectors)
        shown, _ = exposure(grown, data, sessions, 2000 + seed)
        found |= compared(shown, chosen, words)
        alike = torch.cosine_similarity(vectors, data.vectors[chosen])
        found[f"{words}/cosine_of_twins"] = float(alike.mean())
        if words == "varied":
            shown, _ = exposure(grown, data, FEWER, 2000 + seed, deterministic=True)
            found |= compared(shown, chosen, "varied-mode")
    return found


COLUMNS = {
    "mean": "mean ratio",
    "standard_error": "standard error",
    "median": "median",
    "smallest": "smallest",
    "largest": "largest",
    "total": "ratio of totals",
}
PLAYED = {
    "varied": ("drawn", SESSIONS),
    "varied-mode": ("highest scores", FEWER),
    "unheard": ("drawn, words that no trained item has", FEWER),
}
"""How slates come about, and in how many sessions, by the metrics' first word."""
CELLS = {f"new-items/seed-{seed}": seed for seed in range(3)}


def cells(benchmark: Benchmark) -> None:
    """Run what is missing."""
    for key, seed in CELLS.items():
        command = [sys.executable, "-m", "benchmarks.policies.new_items"]
        benchmark.cell(key, [*command, "{out}/x.json", str(seed)], seed, metrics="x.json")


def table(found: dict[str, dict]) -> str:
    """Set the ratios of exposures as a Markdown table."""
    rows = [
        [str(seed), played, f"{sessions:,}"]
        + [f"{found[key]['metrics'][f'{words}/{name}']:.2f}" for name in COLUMNS]
        for words, (played, sessions) in PLAYED.items()
        for key, seed in CELLS.items()
        if key in found
    ]
    return markdown(["seed", "played", "sessions", *COLUMNS.values()], rows)


def main(out: str, seed: str) -> None:
    """Measure, and write what was found."""
    torch.set_num_threads(1)
    Path(out).write_text(json.dumps(measure(int(seed))))


if __name__ == "__main__":
    main(*sys.argv[1:])
