"""Learners in worlds whose truth is known: the table of all of them, and the figures asked of some.

Cells are trained by the recipes that ship, `lightrec fit -c worlds/LEARNER`, which are the same in
all worlds but for what a world's states hold. 0 is what random slates bring, 1 what the world's
oracle does.
"""

import fnmatch
import sys
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt

from benchmarks.cells import Benchmark, markdown
from benchmarks.policies.learner_worlds import LEARNERS, WORLDS

SEEDS = range(3)
EPOCHS = 8
"""In the table of all: cells of at most two CPU minutes."""
JUDGED = ("--data.init_args.judging", "2048")
MANY = [
    *("--model.init_args.sessions", "2048", "--model.init_args.batch_size", "4096"),
    *("--model.init_args.passes", "4", "--model.init_args.gae_lambda", "0.9"),
    *("--data.init_args.iterations", "8", *JUDGED),
]
"""Rewards of the world `satisfaction` are log-normal: many sessions average their noise out."""
LONG: dict[tuple[str, str], tuple[int, list[str]]] = {
    ("greed", "ppo"): (40, []),
    ("greed", "slate-sarsa"): (40, []),
    ("satisfaction", "ppo"): (16, MANY),
    ("satisfaction", "sac"): (30, [*JUDGED]),
    ("greed-3", "slate-q"): (14, []),
    ("greed-3", "slate-sarsa"): (14, []),
}
"""Epochs and settings of the figures that are asked, three seeds each."""
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "policies.png"
REFERENCES = ("greedy", "always-kale")


def _cell(benchmark: Benchmark, key: str, world: str, seed: int, *more: str) -> dict:
    what = "train" if more else "references"
    command = [sys.executable, "-m", "benchmarks.policies.learner_run", what, world, str(seed)]
    return benchmark.cell(key, [*command, "{out}", *more], seed, "metrics.json")


def cells(benchmark: Benchmark) -> None:
    """Run the table's cells that are missing, one seed of each learner in each world."""
    for world, setup in WORLDS.items():
        _cell(benchmark, f"{world}/references/seed-0", world, 0)
        for learner in setup.learners:
            more = ["--learner", learner, "--trainer.max_epochs", str(EPOCHS)]
            _cell(benchmark, f"{world}/{learner}/seed-0", world, 0, *more)
    draw(benchmark.cells, PICTURE)


def long_cells(benchmark: Benchmark) -> None:
    """Run the cells of the figures that are asked."""
    for (world, learner), (epochs, settings) in LONG.items():
        for seed in SEEDS:
            _cell(benchmark, f"{world}/references/seed-{seed}", world, seed)
            more = ["--learner", learner, "--trainer.max_epochs", str(epochs), *settings]
            _cell(benchmark, f"long/{world}/{learner}/seed-{seed}", world, seed, *more)


def share(known: dict[str, float], value: float) -> float:
    """Put a return on the scale on which random is 0 and the oracle 1.

    :param known: metrics of the references.
    """
    low, high = known["random/return"], known["oracle/return"]
    return float((value - low) / (high - low))


def table(found: dict[str, dict]) -> str:
    """Set learners against worlds: share of the oracle's return, and length of sessions."""
    worlds = [world for world in WORLDS if f"{world}/references/seed-0" in found]
    rows = [*REFERENCES, *dict.fromkeys(x for w in worlds for x in WORLDS[w].learners)]
    entries = [[row, *(_entry(found, world, row) for world in worlds)] for row in rows]
    return markdown(["", *worlds], entries)


def _entry(found: dict[str, dict], world: str, row: str) -> str:
    known = found[f"{world}/references/seed-0"]["metrics"]
    if f"{row}/return" in known:
        return f"{share(known, known[f'{row}/return']):.2f} ({known[f'{row}/length']:.0f})"
    cell = found.get(f"{world}/{row}/seed-0")
    if cell is None:
        return "–"
    metrics = cell["metrics"]
    text = f"{share(known, metrics['mode/return']):.2f}"
    if "sample/return" in metrics:
        text += f" / {share(known, metrics['sample/return']):.2f}"
    return f"{text} ({metrics['mode/length']:.0f})"


def long_table(found: dict[str, dict]) -> str:
    """Set the asked figures, seed by seed."""
    rows = []
    for (world, learner), (epochs, _) in LONG.items():
        keys = [f"long/{world}/{learner}/seed-{seed}" for seed in SEEDS]
        if any(key not in found for key in keys):
            continue
        spent = max(found[key]["metrics"]["training_cpu_seconds"] for key in keys)
        shares = [f"{value:.3f}" for value in _shares(found, keys)]
        rows.append([world, learner, str(epochs), *shares, f"{spent:.0f}"])
    head = ["world", "learner", "epochs", *(f"seed {seed}" for seed in SEEDS)]
    return markdown([*head, "CPU seconds, at most"], rows)


def _shares(found: dict[str, dict], keys: list[str]) -> list[float]:
    """Give the shares of policies that show what they score highest."""
    values = []
    for key in keys:
        world, _, seed = key.removeprefix("long/").split("/")
        known = found[f"{world}/references/{seed}"]["metrics"]
        values.append(share(known, found[key]["metrics"]["mode/return"]))
    return values


def reached(found: dict[str, dict], key: str) -> str:
    """Give the mean share of cells, such as ``long/greed/ppo/seed-*``."""
    return f"{fmean(_shares(found, sorted(fnmatch.filter(found, key)))):.2f}"


def reference(found: dict[str, dict], world: str, name: str) -> str:
    """Give the mean share of what learns nothing."""
    cells = [found[key]["metrics"] for key in fnmatch.filter(found, f"{world}/references/*")]
    return f"{fmean(share(known, known[f'{name}/return']) for known in cells):.2f}"


def draw(found: dict[str, dict], path: Path) -> None:
    """Draw how learners come along: shares of the oracle's return against CPU seconds."""
    worlds = [world for world in WORLDS if f"{world}/references/seed-0" in found]
    figure, grid = plt.subplots(2, 3, figsize=(10.5, 6.6), layout="constrained", squeeze=False)
    for world, axes in zip(worlds, grid.flat, strict=False):
        known = found[f"{world}/references/seed-0"]["metrics"]
        for number, learner in enumerate(LEARNERS):
            cell = found.get(f"{world}/{learner}/seed-0")
            if cell is None:
                continue
            seconds, returns = zip(*cell["metrics"]["course"], strict=True)
            shares = [share(known, value) for value in returns]
            axes.plot(seconds, shares, color=f"C{number}", label=learner)
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.set_ylim(-0.3, 1.05)
        axes.set_title(world)
        axes.set_xlabel("CPU seconds")
    grid[0, 0].set_ylabel("random 0, oracle 1")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)
