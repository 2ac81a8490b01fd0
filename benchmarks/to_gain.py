"""Policies learned in user models of a real log, beside controls: `make bench NAME=to_gain`.

No gain counts as one of planning that greedy by the judge's own law, γ = 0 or a constant list has,
too, and no policy that learned in the judge bounds what others can earn there. ``--log NAME`` runs
one log, ``--only ml-100k/controls/seed-3`` a cell; with ``--runs FOLDER`` runs are kept there, and
finished stages taken. What the recipe `careful` adds to `generic` are round numbers, chosen on no
log.
"""

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.cells import Benchmark, markdown, option
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
CONTROLS = {
    "even-mixture": "even mixture",
    "judge-greedy": "greedy by the judge's own law, untrained",
    "judge-myopic": "policy with layers of its own, learned in the judge with γ = 0",
    "constant": "best constant list, searched in the judge",
    "popularity": "popularity",
    "random": "random",
}
MISSING = "–"
TITLES = {"ml-100k": "MovieLens-100K", "online-retail": "Online Retail"}


def table(cells: dict[str, dict]) -> str:
    """Set what is accepted in a session, and what that is over the even mixture, over refits."""
    parts = []
    for log, title in TITLES.items():
        seeds, found = _of(cells, log)
        rows = []
        for name, row in ROWS.items() if seeds else ():
            each = [metrics[f"{name}/accepted"] for metrics in found]
            rows.append([row, *(f"{value:.2f}" for value in each), f"{fmean(each):.2f}"])
            mean, low, high = mean_interval(torch.tensor(_over(found, name)))
            own = f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
            rows[-1].append("–" if name == "even-mixture" else own)
        head = [title, *(f"seed {seed}" for seed in seeds), "mean", "over the even mixture (95 %)"]
        parts += [markdown(head, rows)] if rows else []
    return "\n\n".join(parts)


def controls(cells: dict[str, dict]) -> str:
    """Set what controls are accepted in a session, and its steps, with the seeds measured."""
    parts = []
    for log, title in TITLES.items():
        seeds, untrained = _of(cells, f"{log}/controls")
        trained = [cells.get(f"{log}/myopic/seed-{seed}", {"metrics": {}}) for seed in seeds]
        found = [a | b["metrics"] for a, b in zip(untrained, trained, strict=True)]
        rows = []
        for name, row in CONTROLS.items() if seeds else ():
            known = [metrics for metrics in found if f"{name}/accepted" in metrics]
            each = [f"{m[f'{name}/accepted']:.2f}" if m in known else MISSING for m in found]
            over, steps = MISSING, MISSING
            if known:
                over = f"{fmean(_over(known, name)):+.2f}" if name != "even-mixture" else MISSING
                steps = f"{fmean(metrics[f'{name}/length'] for metrics in known):.2f}"
            rows.append([row, *each, over, steps])
        head = [title, *(f"seed {seed}" for seed in seeds), "over the even mixture", "steps"]
        parts += [markdown(head, rows)] if rows else []
    return "\n\n".join(parts)


def _of(cells: dict[str, dict], kind: str) -> tuple[list[int], list[dict[str, float]]]:
    """Give the seeds that are measured, and what was found with each."""
    seeds = [seed for seed in SEEDS if f"{kind}/seed-{seed}" in cells]
    return seeds, [cells[f"{kind}/seed-{seed}"]["metrics"] for seed in seeds]


def _over(found: list[dict[str, float]], name: str) -> list[float]:
    return [each[f"{name}/accepted"] - each["even-mixture/accepted"] for each in found]


def main() -> None:
    """Run the cells and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", choices=[*LOGS])
    parser.add_argument("--only")
    parser.add_argument("--runs")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    benchmark, runs = Benchmark("to_gain"), Path(option("--runs") or tempfile.mkdtemp())
    kinds = {"policies": "", "controls": "/controls", "myopic": "/myopic"}
    for log, seed, what in product([chosen.log] if chosen.log else LOGS, SEEDS, kinds):
        if benchmark.wants(key := f"{log}{kinds[what]}/seed-{seed}"):
            module = [sys.executable, "-m", "benchmarks.to_gain_run"]
            command = [*module, what, log, str(seed), "{out}", "{runs}"]
            benchmark.cell(key, command, seed, "metrics.json", runs=runs)
    print(table(benchmark.cells), controls(benchmark.cells), sep="\n\n")


if __name__ == "__main__":
    main()
