"""What language is worth, over shares of the users of several logs: `make bench NAME=language`.

Logs as published are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA
names. ``--seeds 4,5`` takes other seeds than 3, ``--groups tuned,blend`` other contenders than
``closed`` (``blend`` trains the shipped recipe), ``--only beauty/2/`` the cells whose keys begin
so. All items of a log's users with five events or more are ranked, whatever share of users is left.
"""

import sys
import tempfile
from itertools import product
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from benchmarks.cells import Benchmark, data_folder, markdown, option
from benchmarks.daily_logs import movielens
from benchmarks.language_run import PAIRS
from benchmarks.sets import SHUFFLED, food, lastfm
from lightrec.data.store import EventStore
from lightrec.evaluation.base import spread
from lightrec.stages.run import run

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "language.png"
SHARES = {"beauty": (2, 10, 100), "ml-100k": (10, 100), "food": (10, 100), "lastfm": (10, 100)}
"""Percentages of users, of 80 users or more."""
TITLES = {"beauty": "Beauty", "ml-100k": "MovieLens-100K", "food": "food", "lastfm": "Last.fm"}
COLUMNS = {
    "Popularity": "popularity",
    "ids": "ids",
    "words": "words",
    "frozen": "frozen",
    "mapped": "mapped",
    "tuned": "tuned",
    "both": "both",
    "blend": "best blend",
}
COLORS = {
    "Popularity": "#c3c9d0",
    "ids": "#7a8794",
    "words": "#d9a441",
    "frozen": "#8fb8de",
    "mapped": "#4a86c5",
    "tuned": "#1f5fa8",
    "both": "#b5493a",
    "blend": "#5b1f16",
}
UNORDERED = ("food", "lastfm")


def write(name: str, data: Path, to: Path) -> None:
    """Write a log's users and items with five events or more as CSV, once."""
    if (to / f"{name}_items.csv").exists():
        return
    raw = to / "raw"
    raw.mkdir(exist_ok=True)
    options = {"log": raw / f"{name}.csv", "items": raw / f"{name}_items.csv"}
    if name == "beauty":
        folder = data / "amazon-beauty-p5"
        options = {"log": folder / "log.csv", "items": folder / "items.csv"}
    elif name == "ml-100k":
        log, items = movielens(data)
        log.write_csv(options["log"])
        items.write_csv(options["items"])
    else:
        {"food": food, "lastfm": lastfm}[name](data, raw)
    store = EventStore(run("generic", out=to / "whole" / name, until="data", **options) / "data")
    users = store.users_of(np.arange(len(store.items)))
    columns = {
        "user": store.user_ids.gather(users),
        "item": store.catalog["item"].gather(np.asarray(store.items) - 1),
    }
    if store.has_times:
        columns["timestamp"] = np.asarray(store.times) // 1000
    pl.DataFrame(columns).write_csv(to / f"{name}.csv")
    store.catalog.select(pl.col(pl.String)).write_csv(to / f"{name}_items.csv")


def sampled(name: str, share: int, seed: int, to: Path) -> None:
    """Write the events of some users, drawn by the seed."""
    log = pl.read_csv(to / f"{name}.csv", infer_schema=False)
    users = log["user"].unique().sort().to_numpy()
    drawn = np.random.default_rng(seed).permutation(users)[: round(len(users) * share / 100)]
    log.filter(pl.col("user").is_in(drawn.tolist())).write_csv(to / f"{name}-{share}-{seed}.csv")


def main() -> None:
    """Run the cells, print the table and draw it."""
    benchmark, data = Benchmark("language"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    seeds = [int(seed) for seed in option("--seeds", "3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch)
        for group in option("--groups", "closed").split(","):
            for name, shares in SHARES.items():
                for share, seed in product(shares, seeds):
                    key = f"{name}/{share}/seed-{seed}/{group}"
                    if not benchmark.wants(key) or benchmark.has(key):
                        continue
                    write(name, data, files)
                    sampled(name, share, seed, files)
                    log = ["--log", f"{{data}}/{name}-{share}-{seed}.csv"]
                    log += ["--items", f"{{data}}/{name}_items.csv", "--data.k_core", "0"]
                    log += ["--data.new_items", "true", *(SHUFFLED if name in UNORDERED else [])]
                    command = [sys.executable, "-m", "benchmarks.language_run", "{out}", group]
                    command += [str(seed), *log]
                    benchmark.cell(key, command, seed, "metrics.json", data=files)
    print(table(benchmark.cells), advantages(benchmark.cells), sep="\n\n")
    draw(benchmark.cells, PICTURE)


def found(cells: dict[str, dict], name: str, share: int, metric: str) -> list[float]:
    """Give a metric of the seeds that were measured, from the group that measures it."""
    values = {
        key.split("/")[2]: cell["metrics"][metric]
        for key, cell in cells.items()
        if key.startswith(f"{name}/{share}/") and metric in cell["metrics"]
    }
    return list(values.values())


def table(
    cells: dict[str, dict], metric: str = "ndcg@10", form: str = ".4f", before: str = ""
) -> str:
    """Set a metric of all contenders, means over the seeds that were measured, as Markdown.

    :param before: ``kept/`` where items already seen are ranked, too.
    """
    rows = []
    for name, share in measured(cells):
        values = [found(cells, name, share, f"{before}{own}/{metric}") for own in COLUMNS]
        counts = (found(cells, name, share, each)[0] for each in ("users", "events"))
        shown = [format(fmean(each), form) if each else "–" for each in values]
        rows.append([f"{TITLES[name]}, {share} %", *(f"{n:,}" for n in counts), *shown])
    return markdown(["log, share of users", "users", "test events", *COLUMNS.values()], rows)


def measured(cells: dict[str, dict]) -> list[tuple[str, int]]:
    """Give the logs and shares of users of which there are cells."""
    there = {tuple(key.split("/")[:2]) for key in cells}
    return [(name, n) for name, shares in SHARES.items() for n in shares if (name, str(n)) in there]


def advantages(cells: dict[str, dict]) -> str:
    """Set what contenders are ahead of others in NDCG@10, means of intervals over seeds."""
    rows = []
    for name, share in measured(cells):
        shown = []
        for one, other in PAIRS:
            key = f"{one}-minus-{other}/ndcg@10"
            ends = [found(cells, name, share, f"{key}{end}") for end in ("", "/low", "/high")]
            shown.append(spread(tuple(map(fmean, ends)), "+.4f") if ends[0] else "–")
        rows.append([f"{TITLES[name]}, {share} %", *shown])
    head = [f"{COLUMNS[one]} − {COLUMNS[other]}" for one, other in PAIRS]
    return markdown(["log, share of users", *head], rows)


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw NDCG@10 over the share of users, a panel a log, seeds as dots."""
    drawn: dict[str, list[int]] = {}
    for name, share in measured(cells):
        drawn.setdefault(name, []).append(share)
    size = 1.6 + 2.4 * len(drawn), 3
    figure, panels = plt.subplots(1, len(drawn), figsize=size, squeeze=False, layout="constrained")
    lines = {}
    for axes, (name, shares) in zip(panels[0], drawn.items(), strict=True):
        for own, title in COLUMNS.items():
            values = {share: found(cells, name, share, f"{own}/ndcg@10") for share in shares}
            known = {share: each for share, each in values.items() if each}
            if not known:
                continue
            means, color = [fmean(each) for each in known.values()], COLORS[own]
            (lines[title],) = axes.plot([*known], means, "-o", color=color, markersize=4)
            for share, each in known.items():
                axes.plot([share] * len(each), each, ".", color=color, alpha=0.6)
        axes.set(xscale="log", title=TITLES[name], ylim=(0, None))
        axes.set_xticks(shares, [f"{share} %" for share in shares], minor=False)
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("NDCG@10")
    figure.supxlabel("share of the users", fontsize=9)
    figure.legend(lines.values(), lines.keys(), loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
