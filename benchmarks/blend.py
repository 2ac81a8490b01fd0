"""The blend beside its best part, on logs of many sizes: `make bench NAME=blend`.

Logs as published are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names;
``--seeds 4,5`` takes other seeds than 3, ``--only NAME`` runs the cells whose names begin so. In
the generated log the next item follows from the one before it, so that what counts transitions is
far the best. ``benchmarks.language`` compares the blend with its parts on logs with texts.
"""

import re
import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl

from benchmarks.cells import Benchmark, data_folder, markdown, option
from benchmarks.daily_logs import movielens, retail
from benchmarks.sets import lastfm
from lightrec.evaluation.base import spread

WAYS = {
    "likelihood": "likelihood",
    "ndcg": "searched",
    "part": "best part",
    "mean": "mean of all",
    "popularity": "popularity alone",
}
PART = re.compile(r"^test/([A-Za-z]+)/ndcg@10$", re.MULTILINE)
PLAIN = ["--values.text_encoder", "null"]
GLOBAL = ["--data.split", "global-time"]
FILMS = ["--log", "{data}/films.csv", "--items", "{data}/films_items.csv"]


def epochs(number: int) -> list[str]:
    """Give the option."""
    return ["--ranker.trainer.max_epochs", str(number)]


CELLS = {
    "chain": ["--log", "{data}/chain.csv", *PLAIN, *epochs(4)],
    "films of 100 users": ["--log", "{data}/films-100.csv", *FILMS[2:]],
    "films of 300 users": ["--log", "{data}/films-300.csv", *FILMS[2:]],
    "films of 300 users, by time": ["--log", "{data}/films-300.csv", *FILMS[2:], *GLOBAL],
    "films": FILMS,
    "films, by time": [*FILMS, *GLOBAL],
    "retail, repeats": ["--log", "{data}/retail.csv", "--repeats", *PLAIN, *epochs(2)],
    "ciao": ["--log", "{data}/ciao.csv", "--data.k_core", "2", *PLAIN, *epochs(3)],
    "lastfm": ["--log", "{data}/lastfm.csv", "--data.equal_times", "shuffle", *PLAIN, *epochs(3)],
    "beauty without texts": ["--log", "{beauty}/log.csv", *PLAIN, *epochs(2)],
}


def chain(seed: int, users: int = 3_000, items: int = 600, length: int = 14) -> pl.DataFrame:
    """Two of three events are one of four items that follow the one before, the others popular."""
    generator = np.random.default_rng(seed)
    followers = generator.integers(0, items, (items, 4))
    popularity = np.arange(1, items + 1) ** -0.6
    popularity /= popularity.sum()
    rows = []
    for user in range(users):
        met: list[int] = []
        for time in range(length):
            item = int(generator.choice(items, p=popularity))
            if met and generator.random() < 2 / 3:
                item = int(generator.choice(followers[met[-1]], p=(0.55, 0.25, 0.12, 0.08)))
            if item not in met:
                met.append(item)
                rows.append((user, item, time))
    return pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")


def write(data: Path, to: Path, seed: int) -> None:
    """Write the logs as CSV; the seed generates the chain and draws users of films."""
    to.mkdir()
    chain(seed).write_csv(to / "chain.csv")
    films, items = movielens(data)
    films.write_csv(to / "films.csv")
    items.write_csv(to / "films_items.csv")
    users = np.random.default_rng(seed).permutation(films["user"].unique().sort().to_numpy())
    for count in (100, 300):
        chosen = pl.col("user").is_in(users[:count].tolist())
        films.filter(chosen).write_csv(to / f"films-{count}.csv")
    retail(data)[0].write_csv(to / "retail.csv")
    lastfm(data, to)
    names = ["user", "item", "genre", "review", "rating", "date"]
    path = data / "ciaodvd" / "movie-ratings.txt"
    rated = pl.read_csv(path, has_header=False, new_columns=names)
    time = pl.col("date").str.to_date().dt.epoch("s")
    rated.select("user", "item", "rating", timestamp=time).write_csv(to / "ciao.csv")


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("blend")
    folder = data_folder()
    if folder is None:
        sys.exit("Name the folder of the logs with --data.")
    with tempfile.TemporaryDirectory() as files:
        for seed, key in product(map(int, option("--seeds", "3").split(",")), CELLS):
            name, data = f"{key}/seed-{seed}", Path(files) / str(seed)
            if benchmark.wants(name) and not benchmark.has(name):
                if not data.exists():
                    write(folder, data, seed)
                command = [sys.executable, "-m", "benchmarks.blend_run", "{out}", str(seed)]
                paths = {"data": data, "beauty": folder / "amazon-beauty-p5"}
                benchmark.cell(name, command + CELLS[key], seed, "metrics.json", **paths)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set test NDCG@10 of the blend and of its best part, means over seeds, as Markdown."""
    logs: dict[str, list[dict]] = {}
    for key, cell in cells.items():
        if "test/blend/ndcg@10" in cell["metrics"]:
            logs.setdefault(key.partition("/seed-")[0], []).append(cell["metrics"])
    rows = []
    for name, seeds in logs.items():

        def mean(key: str, seeds: list[dict] = seeds) -> float:
            return fmean(metrics[key] for metrics in seeds)

        parts = set.intersection(*({*re.findall(PART, "\n".join(each))} for each in seeds))
        values = {part: mean(f"test/{part}/ndcg@10") for part in parts}
        own, likely = values.pop("blend"), values.pop("likelihood")
        best = max(values, key=lambda part: values[part])
        ahead = f"test/blend-minus-{best}/ndcg@10"
        ends = mean(ahead), mean(f"{ahead}/low"), mean(f"{ahead}/high")
        ways = ", ".join(sorted({WAYS[metrics["chosen"]] for metrics in seeds}))
        shown = [f"{own:.4f}", ways, f"{likely:.4f}", f"{best} {values[best]:.4f}", spread(ends)]
        lowest = f"{min(metrics[ahead] for metrics in seeds):+.3f}"
        events = f"{mean('test/events'):,.0f}"
        rows.append([name.replace("/", ", "), str(len(seeds)), events, *shown, lowest])
    head = ["log", "seeds", "test events", "blend", "weights", "by likelihood", "best part on test"]
    return markdown([*head, "blend ahead (95 %)", "on its worst seed"], rows)


if __name__ == "__main__":
    main()
