"""The data stage on 10,000,000 events: `make bench NAME=scale`.

200,000 users, 100,000 items with titles, categories and prices, and three kinds of events, from CSV
and from Parquet. The stage must need at most 90 CPU seconds and 4 GiB. The log is generated from a
seed into the system's folder for temporary files and kept there.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.cells import LIGHTREC, Benchmark, markdown
from benchmarks.memory import WORDS

USERS, ITEMS, EVENTS = 200_000, 100_000, 10_000_000
KINDS = {"view": 0.85, "cart": 0.1, "purchase": 0.05}
CATEGORIES = ("shoes", "lamps", "books", "tools", "toys", "plants", "bags", "mugs", "games")
MOST_SECONDS, MOST_MIB = 90, 4096


def generate(folder: Path, seed: int = 0, events: int = EVENTS) -> None:
    """Write ``log.csv``, ``log.parquet`` and ``items.csv``, in the order of time.

    Items follow a long-tailed law, and how often a user comes another.
    """
    generator = np.random.default_rng(seed)
    ranks = np.arange(1, ITEMS + 1)
    weights = 1 / (ranks + 50.0) ** 0.7
    shares = generator.gamma(0.8, size=USERS)
    kinds = generator.choice(len(KINDS), events, p=list(KINDS.values()))
    log = pl.DataFrame(
        {
            "user_id": generator.choice(USERS, events, p=shares / shares.sum()) + 1,
            "item_id": generator.choice(ITEMS, events, p=weights / weights.sum()) + 100_001,
            "timestamp": 1_700_000_000 + np.sort(generator.integers(0, 30_000_000, events)),
            "event": pl.Series(np.array(list(KINDS))[kinds]),
        }
    )
    words = np.array(WORDS)[generator.integers(0, len(WORDS), (ITEMS, 3))]
    items = pl.DataFrame(
        {
            "item_id": np.arange(ITEMS) + 100_001,
            "title": [f"{' '.join(row)} {number}" for number, row in enumerate(words)],
            "category": np.array(CATEGORIES)[generator.integers(0, len(CATEGORIES), ITEMS)],
            "price": np.round(np.exp(generator.normal(3.0, 1.0, ITEMS)), 2),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    items.write_csv(folder / "items.csv")
    log.write_parquet(folder / "log.parquet")
    log.write_csv(folder / "log.partial")
    os.replace(folder / "log.partial", folder / "log.csv")


def main() -> None:
    """Run the cells, print them, and see that they keep to their limits.

    :raises RuntimeError: where one needs more.
    """
    folder = Path(tempfile.gettempdir()) / "lightrec-benchmark-scale"
    if not (folder / "log.csv").is_file():
        generate(folder)
    benchmark = Benchmark("scale")
    for kind in ("csv", "parquet"):
        command = [LIGHTREC, "run", "generic", "--out", "{out}/big", "--until", "data"]
        command += ["--log", f"{{data}}/log.{kind}", "--items", "{data}/items.csv"]
        benchmark.cell(f"10M-events/{kind}", command, 0, data=folder)
    print(table(benchmark.cells))
    for key, cell in benchmark.cells.items():
        if cell["cpu_seconds"] > MOST_SECONDS or cell["peak_resident_mib"] > MOST_MIB:
            raise RuntimeError(f"{key} needs more than {MOST_SECONDS} CPU seconds or 4 GiB.")


def table(cells: dict[str, dict]) -> str:
    """Set CPU seconds and memory of each cell as Markdown."""
    head = ["10,000,000 events as", "CPU seconds", "peak resident MiB"]
    rows = [
        [key.split("/")[1], f"{cell['cpu_seconds']:.0f}", f"{cell['peak_resident_mib']:,}"]
        for key, cell in sorted(cells.items())
    ]
    return markdown(head, rows)


if __name__ == "__main__":
    main()
