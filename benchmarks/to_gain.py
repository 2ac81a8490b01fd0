"""Policies learned in user models of a real log, beside controls: `make bench NAME=to_gain`.

No gain counts as one of planning that greedy by the judge's own law, γ = 0 or a constant list has,
too, and no policy that learned in the judge bounds what others can earn there. ``--log NAME`` runs
one log, ``--only ml-100k/seed-3`` a cell. What the recipe `careful` adds to `generic` are round
numbers, chosen on no log.
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
    "careful-myopic": "the same with γ = 0",
    "judge": "policy with layers of its own, learned in the judge",
    "judge-myopic": "the same with γ = 0",
    "judge-greedy": "greedy by the judge's own law, untrained",
    "constant": "best constant list, searched in the judge",
}
MISSING = "–"
TITLES = {"ml-100k": "MovieLens-100K", "online-retail": "Online Retail"}


def table(cells: dict[str, dict]) -> str:
    """Set what is accepted in a session, and what that is over the even mixture, over refits.

    Rows that were not measured with every seed have no interval.
    """
    parts = []
    for log, title in TITLES.items():
        seeds = [seed for seed in SEEDS if f"{log}/seed-{seed}" in cells]
        if not seeds:
            continue
        found = [cells[f"{log}/seed-{seed}"]["metrics"] for seed in seeds]
        rows = []
        for name, row in ROWS.items():
            key = f"{name}/accepted"
            each = [metrics[key] for metrics in found if key in metrics]
            over = [m[key] - m["even-mixture/accepted"] for m in found if key in m]
            texts = [f"{m[key]:.2f}" if key in m else MISSING for m in found]
            rows.append([row, *texts, f"{fmean(each):.2f}" if each else MISSING])
            rows[-1].append(MISSING if name == "even-mixture" or not over else _over(over))
        head = [title, *(f"seed {seed}" for seed in seeds), "mean", "over the even mixture (95 %)"]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def _over(found: list[float]) -> str:
    if len(found) < len(SEEDS):
        return f"{fmean(found):+.2f}"
    mean, low, high = mean_interval(torch.tensor(found))
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", choices=[*LOGS])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--only")
    chosen = parser.parse_args()
    benchmark = Benchmark("to_gain")
    for log in [chosen.log] if chosen.log else LOGS:
        for seed in SEEDS:
            if benchmark.wants(key := f"{log}/seed-{seed}"):
                command = [sys.executable, "-m", "benchmarks.to_gain_run", log, str(seed), "{out}"]
                benchmark.cell(key, command, seed, "metrics.json")
    print(table(benchmark.cells))


if __name__ == "__main__":
    main()
