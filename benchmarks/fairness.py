"""What equal exposure costs, in a world of known truth and on a log: `make bench NAME=fairness`.

PPO in `Greed`, without and with the limit of the recipe `worlds/fair`: topics are to be shown by
the number of their items. The rate of the prices was chosen on seeds 1 and 2, after a quarter of it
had been too slow on the seeds reported. One thread a cell; sessions of judging are those of no
training. On CiaoDVD see :mod:`benchmarks.fairness_log`, whose settings were chosen on seed 0;
``--only greed`` and ``--only ciao`` run one of the two.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean

import torch
from lightrec_audit.exposure import spread_of
from lightrec_worlds.greed import Greed
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.cells import Benchmark, markdown
from lightrec.intervals import mean_interval
from lightrec.keys import Key
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import play
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

SEEDS = (3, 4, 5)
WAYS = {"plain": "without a limit", "fair": "equal exposure"}
ON_A_LOG = {
    "plain": "policy without a limit",
    "fair": "policy, equal exposure",
    "greedy": "greedy by the ranker",
    "popularity": "popularity",
}
EPOCHS = "12"
SESSIONS = 4_096
JUDGED = 10**6
"""Seed of the judging sessions."""


def measure(way: str, seed: int, folder: Path) -> dict[str, float]:
    """Train, play, and say what was earned and who was shown."""
    more = ["--seed_everything", str(seed), "--trainer.max_epochs", EPOCHS]
    if way == "plain":
        more += ["--data.init_args.reward", "null"]
    train(Stage("policy", recipes.find("worlds/fair")[1], folder / "policy", more))
    world, shown = Greed(SESSIONS), torch.zeros(Greed.ITEMS + 1)

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        shown.index_add_(0, state[Key.ACTION][alive].flatten(), torch.ones(int(alive.sum())))

    policy = Policy.load(folder / "policy")
    sessions, _ = play(policy, world, torch.arange(SESSIONS), JUDGED + seed, record=record)
    by_topic = torch.zeros(world.TOPICS).index_add_(0, world.topic, shown[1:]).double().numpy()
    items = torch.bincount(world.topic, minlength=world.TOPICS).double().numpy()
    found = spread_of(by_topic, items, items < 0)
    ratio = by_topic / by_topic.sum() * items.sum() / items
    return {
        "return": float(sessions.reward.mean()),
        "error": float(sessions.reward.std()) / SESSIONS**0.5,
        "misplaced": found["misplaced"],
        "least": float(ratio.min()),
        "most": float(ratio.max()),
    }


def table(cells: dict[str, dict]) -> str:
    """Set returns and exposure, means over the seeds."""
    rows = []
    for way, title in WAYS.items():
        found = [cells[f"{way}/seed-{seed}"]["metrics"] for seed in SEEDS]
        earned, misplaced, least, most = (
            sum(each[key] for each in found) / len(SEEDS)
            for key in ("return", "misplaced", "least", "most")
        )
        rows.append([title, f"{earned:.2f}", f"{misplaced:.3f}", f"{least:.2f} to {most:.2f}"])
    head = ["PPO in Greed", "return", "exposure misplaced", "a topic's exposure over its due"]
    return markdown(head, rows)


def sentence(cells: dict[str, dict]) -> str:
    """Say what the limit costs, with an interval over refits."""
    pairs = [[cells[f"{way}/seed-{s}"]["metrics"]["return"] for way in WAYS] for s in SEEDS]
    found = mean_interval(torch.tensor([fair - plain for plain, fair in pairs]))
    return (
        f"Over {len(SEEDS)} seeds the limit changes the return by {found.mean:+.2f} "
        f"({found.low:+.2f} to {found.high:+.2f})."
    )


def on_a_log(cells: dict[str, dict]) -> list[dict[str, float]]:
    """Give the metrics of the seeds that are measured on CiaoDVD."""
    return [cells[key]["metrics"] for s in SEEDS if (key := f"ciao/seed-{s}") in cells]


def log_table(cells: dict[str, dict]) -> str:
    """Set what is accepted and who is shown on CiaoDVD, means over the seeds."""
    rows, found = [], on_a_log(cells)
    for way, title in ON_A_LOG.items():
        accepted, misplaced, least, most = (
            fmean(each[f"{way}/{key}"] for each in found)
            for key in ("accepted", "misplaced", "least", "most")
        )
        rows.append([title, f"{accepted:.2f}", f"{misplaced:.3f}", f"{least:.2f} to {most:.2f}"])
    head = ["CiaoDVD", "accepted", "exposure misplaced", "a genre's exposure over its due"]
    return markdown(head, rows)


def log_sentence(cells: dict[str, dict]) -> str:
    """Say what the limit costs on CiaoDVD, with an interval over refits."""
    each = on_a_log(cells)
    found = mean_interval(torch.tensor([m["fair/accepted"] - m["plain/accepted"] for m in each]))
    return (
        f"Over {len(each)} seeds the limit changes what is accepted in a session by "
        f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})."
    )


def main() -> None:
    """Run the cells and print the table, or measure one."""
    if len(sys.argv) == 4 and sys.argv[1] in WAYS:
        torch.set_num_threads(1)
        way, seed, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
        (out / "metrics.json").write_text(json.dumps(measure(way, seed, out)))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["greed", "ciao"])
    parser.add_argument("--fresh", action="store_true")
    only = parser.parse_args().only
    benchmark = Benchmark("fairness")
    for seed in SEEDS:
        for way in WAYS if only != "ciao" else ():
            command = [sys.executable, "-m", "benchmarks.fairness", way, str(seed), "{out}"]
            benchmark.cell(f"{way}/seed-{seed}", command, seed, "metrics.json")
        if only != "greed":
            command = [sys.executable, "-m", "benchmarks.fairness_log", str(seed), "{out}"]
            benchmark.cell(f"ciao/seed-{seed}", command, seed, "metrics.json")
    for part in (table, sentence, log_table, log_sentence):
        print(part(benchmark.cells), end="\n\n")


if __name__ == "__main__":
    main()
