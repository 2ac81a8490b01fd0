"""Memory on large logs and catalogs: `make bench NAME=memory`.

Data and ranker stages on 5 M events over 200,000 items, and one training step of the full softmax
over a million. The log is generated from a seed into the system's folder for temporary files and
kept there, since making it takes longer than reading it.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.cells import LIGHTREC, Benchmark

USERS, ITEMS, EVENTS = 250_000, 200_000, 20
WORDS = (
    "river",
    "stone",
    "silver",
    "night",
    "garden",
    "paper",
    "winter",
    "engine",
    "honey",
    "glass",
)


def generate(folder: Path, seed: int = 0) -> None:
    """Write ``log.csv`` and ``items.csv``: 20 events a user, items by a long-tailed law."""
    generator = np.random.default_rng(seed)
    ranks = np.arange(1, ITEMS + 1)
    weights = 1 / (ranks + 50.0) ** 0.7
    items = generator.choice(ITEMS, USERS * EVENTS, p=weights / weights.sum())
    users = np.repeat(np.arange(USERS), EVENTS)
    times = 1_700_000_000 + generator.integers(0, 30_000_000, len(users))
    log = pl.DataFrame({"user": users, "item": items, "time": times})
    words = np.array(WORDS)[generator.integers(0, len(WORDS), (ITEMS, 4))]
    titles = [" ".join(row) + f" {i}" for i, row in enumerate(words)]
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"item": np.arange(ITEMS), "title": titles}).write_csv(folder / "items.csv")
    log.write_csv(folder / "log.partial")
    os.replace(folder / "log.partial", folder / "log.csv")


def main() -> None:
    """Run the cells and print the table."""
    folder = Path(tempfile.gettempdir()) / "lightrec-benchmark-memory"
    if not (folder / "log.csv").is_file():
        generate(folder)
    benchmark = Benchmark("memory")
    command = [LIGHTREC, "run", "large", "--out", "{out}/big", "--until", "ranker"]
    command += ["--log", "{data}/log.csv", "--items", "{data}/items.csv"]
    command += ["--ranker.data.init_args.max_validated", "2000"]
    command += ["--ranker.trainer.max_epochs", "1", "--ranker.trainer.limit_train_batches", "40"]
    ids = ["--ranker.data.init_args.text_encoder", "null"]
    benchmark.cell("5M-events/large-ids", [*command, *ids], 0, data=folder)
    full_softmax(benchmark)
    for key, cell in benchmark.cells.items():
        print(key, f"{cell['peak_resident_mib']} MiB", cell["metrics"])


def full_softmax(benchmark: Benchmark) -> None:
    """Measure one step of 64 windows of 50 items; it must add at most 1.5 GiB."""
    command = [sys.executable, "-m", "benchmarks.softmax_step", "{out}/step.json"]
    found = benchmark.cell("1M-items/full-softmax-step", command, 0, metrics="step.json")
    if found["metrics"]["added_gib"] > 1.5:
        raise RuntimeError("A step of the full softmax adds more than 1.5 GiB.")


if __name__ == "__main__":
    main()
