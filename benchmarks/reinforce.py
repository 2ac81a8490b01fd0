"""Generators that learn on from rewards, beside likelihood: `make bench NAME=reinforce`.

MovieLens-100K is read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names.
Settings were chosen on validation events of seeds 0 and 1, those of rewards on validation events of
seed 0, and those of sessions in user model A of seed 0. ``--only learn/seed-3`` runs one cell; with
``--runs FOLDER`` runs are kept there, and finished stages taken, which the cells that play sessions
begin with.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.cells import Benchmark, data_folder, markdown, option
from lightrec.intervals import mean_interval

SEEDS = (3, 4, 5)
REWARDS = {
    "next": "the next item: NDCG@10",
    "lists": "NDCG@10 + 0.2 · novelty + 0.5 · diversity",
    "rating": "gain of the next item by its stars less 3",
}
PARTS = {"ndcg@10": "NDCG@10", "novelty": "novelty", "diversity": "diversity"}
JUDGES = {"users_a": "user model A, who taught it", "users_b": "user model B"}
Cells = Mapping[str, dict]


def main() -> None:
    """Run the cells and print the tables."""
    benchmark, data = Benchmark("reinforce"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    runs = Path(option("--runs") or tempfile.mkdtemp())
    module = [sys.executable, "-m", "benchmarks.reinforce_run", "{out}"]
    for seed in SEEDS:
        for what in ("learn", "sessions"):
            if benchmark.wants(key := f"{what}/seed-{seed}"):
                command = [*module, str(seed), "{runs}", what]
                benchmark.cell(key, command, seed, "metrics.json", runs=runs)
    print(*(made(benchmark.cells) for made in (slates, parts, sessions)), sep="\n\n")


def _of(cells: Cells, what: str) -> dict[int, Mapping[str, float]]:
    """Give what was measured with each seed that there is."""
    keys = {seed: f"{what}/seed-{seed}" for seed in SEEDS}
    return {seed: cells[key]["metrics"] for seed, key in keys.items() if key in cells}


def _over(found: Mapping[str, float], name: str) -> str:
    mean, low, high = (found[f"{name}{end}"] for end in ("", ", low", ", high"))
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _means(
    rows: list[list[str]],
    found: list[Mapping[str, float]],
    title: str,
    name: str,
    ways: Sequence[str] = ("start", "control"),
) -> None:
    """Add a row of differences with intervals over seeds, where there are all of them."""
    if len(found) == len(SEEDS):
        over = []
        for way in ways:
            values = torch.tensor([metrics[f"{name}/over {way}"] for metrics in found])
            mean, low, high = mean_interval(values)
            over.append(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})")
        rows.append([title, "all", *[""] * (len(rows[-1]) - 2 - len(over)), *over])


def slates(cells: Cells) -> str:
    """Set what test users' lists are paid, by reward and seed, as Markdown."""
    rows, measured = [], _of(cells, "learn")
    for name, title in REWARDS.items():
        for seed, found in measured.items():
            means = [found[f"{name}/{way}"] for way in ("start/reward", "control/reward")]
            means.append(found[f"{name}/reinforced/mean"])
            over = [_over(found, f"{name}/reinforced/over {way}") for way in ("start", "control")]
            rows.append([title, str(seed), *(f"{value:.4f}" for value in means), *over])
        _means(rows, [*measured.values()], title, f"{name}/reinforced")
    head = ["reward", "seed", "start", "by likelihood", "by reward", "over the start (95 %)"]
    return markdown([*head, "over likelihood (95 %)"], rows)


def parts(cells: Cells) -> str:
    """Set what lists are like by each way, means over seeds, as Markdown."""
    rows, found = [], [*_of(cells, "learn").values()]
    ways = {
        "start": "start",
        "control": "goes on by likelihood",
        "rearranged": "start, rearranged by marginal relevance",
        "reinforced": "goes on by reward",
    }
    for way, title in ways.items() if found else ():
        values = [fmean(m[f"lists/{way}/{part}"] for m in found) for part in PARTS]
        name = "lists/reinforced/mean" if way == "reinforced" else f"lists/{way}/reward"
        whole = [metrics[name] for metrics in found]
        rows.append([title, *(f"{value:.4f}" for value in [*values, fmean(whole)])])
    return markdown(["lists of ten", *(PARTS.values()), "the reward"], rows)


def sessions(cells: Cells) -> str:
    """Set what is accepted in a session, by judge and seed, as Markdown."""
    rows, measured, ways = [], _of(cells, "sessions"), ("start", "control", "greedy")
    for model, title in JUDGES.items():
        for seed, found in measured.items():
            means = [found[f"{model}/{way}"] for way in ("start", "control")]
            means += [found[f"{model}/reinforced/mean"], found[f"{model}/greedy"]]
            over = [_over(found, f"{model}/reinforced/over {way}") for way in ways]
            rows.append([title, str(seed), *(f"{value:.2f}" for value in means), *over])
        _means(rows, [*measured.values()], title, f"{model}/reinforced", ways)
    head = ["judge", "seed", "start", "by likelihood", "by reward", "greedy by user model A"]
    head += ["over the start (95 %)", "over likelihood (95 %)", "over greedy by A (95 %)"]
    return markdown(head, rows)


if __name__ == "__main__":
    main()
