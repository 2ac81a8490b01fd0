"""What there is to gain by planning on a real log: `make bench NAME=to_gain`.

A policy that learned in the judge itself bounds what any policy can earn there. ``--log NAME``
runs one log. What the recipe `careful` adds to `generic` are round numbers, chosen on no log.
"""

import argparse
import sys
from statistics import fmean

import torch

from benchmarks.cells import Benchmark, markdown
from benchmarks.to_gain_run import LOGS
from lightrec.intervals import mean_interval

SEEDS = (3, 4, 5)
ROWS = {
    "blend": "greedy by the blend",
    "user-model-a": "greedy by user model A",
    "even-mixture": "even mixture",
    "mixture": "mixture chosen in A",
    "number": "policy with one weight, learned in A",
    "whole": "policy with layers of its own, learned in A",
    "careful": "the same, with pessimism and epochs chosen by a third user model",
    "judge": "policy with layers of its own, learned in the judge",
}
TITLES = {"ml-100k": "MovieLens-100K", "online-retail": "Online Retail"}


def table(cells: dict[str, dict]) -> str:
    """Set what is accepted in a session, and what that is over the mixture, over refits."""
    parts = []
    for log, title in TITLES.items():
        rows, seeds = [], [seed for seed in SEEDS if f"{log}/seed-{seed}" in cells]
        if not seeds:
            continue
        found = [cells[f"{log}/seed-{seed}"]["metrics"] for seed in seeds]
        for name, row in ROWS.items():
            each = [metrics[f"{name}/accepted"] for metrics in found]
            over = [metrics[f"{name}/accepted"] - metrics["mixture/accepted"] for metrics in found]
            rows.append([row, *(f"{value:.2f}" for value in each), f"{fmean(each):.2f}"])
            mean, low, high = mean_interval(torch.tensor(over))
            own = f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
            rows[-1].append("–" if name == "mixture" else own)
        head = [title, *(f"seed {seed}" for seed in seeds), "mean", "over the mixture (95 %)"]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", choices=[*LOGS])
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    benchmark = Benchmark("to_gain")
    for log in [chosen.log] if chosen.log else LOGS:
        for seed in SEEDS:
            command = [sys.executable, "-m", "benchmarks.to_gain_run", log, str(seed), "{out}"]
            benchmark.cell(f"{log}/seed-{seed}", command, seed, "metrics.json")
    print(table(benchmark.cells))


if __name__ == "__main__":
    main()
