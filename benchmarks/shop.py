"""Held-out purchases of a made-up shop, learned from all kinds of events or from one alone:
`make bench NAME=shop`.

The recipe was made by looking at shops 0 to 2; what is reported is another shop, trained on anew
with each seed. The shop's truth is in :mod:`lightrec_ecommerce.made_up`.
"""

import sys
from itertools import product
from statistics import fmean

import torch

from benchmarks.cells import Benchmark, markdown
from lightrec.intervals import mean_interval

SEEDS = (3, 4, 5)
TITLES = {
    "goal": "all kinds, goal purchase",
    "views": "views alone",
    "purchases": "purchases alone",
}
PARTS = {"blend": "blend", "EASE": "EASE", "Popularity": "popularity"}
REPEATS = "RepeatConsumption"
MET = {"met": "had met before", "discovered": "had not met"}


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("shop")
    # What is compared first, so that a stopped call leaves whole pairs.
    for contenders in (("goal", "views"), ("purchases",)):
        for seed, contender in product(SEEDS, contenders):
            command = [sys.executable, "-m", "benchmarks.shop_run", contender, str(seed), "{out}"]
            benchmark.cell(f"{contender}/seed-{seed}", command, seed, "metrics.json")
    tables = table, discoveries, advantages
    print(*(each(benchmark.cells) for each in tables), sep="\n\n")


def table(cells: dict[str, dict]) -> str:
    """Set test NDCG@10 on purchases, the mean of the seeds, as Markdown."""
    rows = []
    for contender, title in TITLES.items():
        own = [cells[key]["metrics"] for key in _keys(cells, contender)]
        if not own:
            continue
        means = [fmean(metrics[f"test/{part}/ndcg@10"] for metrics in own) for part in PARTS]
        rows.append([title, *(f"{mean:.3f}" for mean in means)])
    return markdown(["learned from", *PARTS.values()], rows)


def discoveries(cells: dict[str, dict]) -> str:
    """Set purchases of what had been viewed or carted apart from all others, as Markdown."""
    own, names = [cells[key]["metrics"] for key in _keys(cells, "goal")], ("blend", REPEATS)
    own, rows = [metrics for metrics in own if "test/met/events" in metrics], []
    for part, title in MET.items():
        keys = [f"test/{name}/{part}/ndcg@10" for name in (*names, "Popularity")]
        means = [fmean(metrics[key] for metrics in own) for key in keys]
        count = int(own[0][f"test/{part}/events"])
        rows.append([title, f"{count:,}", *(f"{mean:.3f}" for mean in means)])
    return markdown(["of what the customer", "purchases", *names, "popularity"], rows)


def advantages(cells: dict[str, dict]) -> str:
    """Set by how much the goal is ahead, with an interval over users and refits, as Markdown."""
    rows = []
    for other in [name for name in ("views", "purchases") if _keys(cells, name)]:
        mean, low, high = advantage(cells, other)
        rows.append([TITLES[other], f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"])
    return markdown(["goal purchase against", "NDCG@10 (95 %)"], rows)


def advantage(cells: dict[str, dict], other: str) -> tuple[float, float, float]:
    """Compare blends on the same purchases of the same users, trained with the same seeds."""
    shared = [seed for seed in SEEDS if {f"goal/seed-{seed}", f"{other}/seed-{seed}"} <= {*cells}]
    pairs = [(f"goal/seed-{seed}", f"{other}/seed-{seed}") for seed in shared]
    rows = [
        torch.tensor(cells[one]["metrics"]["users/blend"])
        - torch.tensor(cells[two]["metrics"]["users/blend"])
        for one, two in pairs
    ]
    return mean_interval(torch.stack(rows))


def _keys(cells: dict[str, dict], contender: str) -> list[str]:
    return [key for key in (f"{contender}/seed-{seed}" for seed in SEEDS) if key in cells]


if __name__ == "__main__":
    main()
