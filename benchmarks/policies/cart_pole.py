"""Gymnasium's CartPole-v1 through both policy modules: `python -m benchmarks.policies.cart_pole`.

Each cell trains by a shipped recipe and plays 100 games that nobody has seen before, taking the
action of highest score. ``--fresh`` measures anew. In a process of its own:

    python -m benchmarks.policies.cart_pole ppo 0 FOLDER
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch
from lightrec_gym.games import DiscreteGymnasium

from benchmarks.cells import LIGHTREC, Benchmark
from lightrec.intervals import mean_interval
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import play
from lightrec.stages import recipes

LIMITS = {"ppo": 500_000, "dqn": 200_000}
"""Steps of the environment within which a learner should reach ``WANTED``."""
WANTED = 475
GAMES = 100
SEED = 1_000_000
"""Of the judged games; those that choose epochs have seed 0."""
SEEDS = (0, 1, 2)
COLUMNS = ("return", "return/lowest", "train/environment_steps", "validation/environment_steps")


def measure(learner: str, seed: int, folder: Path) -> None:
    """Train, judge, and write ``metrics.json`` into the folder."""
    recipe, policy = f"gym/cart-pole-{learner}", folder / "run" / "policy"
    command = [LIGHTREC, "fit", "-c", recipe, "--seed_everything", str(seed), "--out", str(policy)]
    subprocess.run(command, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads((policy / "metrics.json").read_text())
    steps = {name: n for name, n in found.items() if name.endswith("environment_steps")}
    metrics = {"fit/cpu_seconds": usage.ru_utime + usage.ru_stime, **steps}
    metrics["chosen/return"] = found["validation/return"]
    (folder / "metrics.json").write_text(json.dumps(metrics | judge(recipe, policy, seed)))


def judge(recipe: str, folder: Path, seed: int) -> dict[str, float]:
    """Play the games, other ones for each seed."""
    settings = recipes.find(recipe)[1]["data"]["init_args"]["settings"]
    games = DiscreteGymnasium(batch_size=GAMES, **settings)
    found, _ = play(Policy.load(folder), games, torch.arange(GAMES), SEED + seed)
    interval = mean_interval(found.reward[0])
    return {
        "return": interval.mean,
        "return/low": interval.low,
        "return/high": interval.high,
        "return/lowest": float(found.reward.min()),
    }


def table(cells: dict[str, dict]) -> str:
    """Set the cells as Markdown, and whether all that was wanted was reached."""
    head = ["cell", *COLUMNS, "CPU seconds of training", "reached"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for key, cell in cells.items():
        found = cell["metrics"]
        reached = found["return"] >= WANTED
        reached &= found["train/environment_steps"] <= LIMITS[key.partition("/")[0]]
        row = [
            f"{found[name]:g}" if found[name] < 1000 else f"{found[name]:,.0f}" for name in COLUMNS
        ]
        row += [f"{found['fit/cpu_seconds']:.0f}", "yes" if reached else "no"]
        lines.append(f"| {key} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the cells and print the table, or measure one."""
    if sys.argv[1:2] and sys.argv[1] in LIMITS:
        measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
        return
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    benchmark = Benchmark("policies_cart_pole")
    for learner in LIMITS:
        for seed in SEEDS:
            command = [sys.executable, "-m", "benchmarks.policies.cart_pole"]
            command += [learner, str(seed), "{out}"]
            benchmark.cell(f"{learner}/seed-{seed}", command, seed, metrics="metrics.json")
    print(table(benchmark.cells))


if __name__ == "__main__":
    main()
