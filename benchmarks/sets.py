"""One recipe on several logs, each beside every item model: `make bench NAME=sets`.

MovieLens-100K is the sample of the domain ``video``. The other logs are read, as published, from
the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names: Last.fm 2k (HetRec 2011), food
ratings, Amazon reviews. Nothing is tuned on any of them but on its own validation part.
"""

import ast
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl

from benchmarks.cells import Benchmark, data_folder, markdown, today
from lightrec.data.store import EventStore
from lightrec.stages.run import run

VIDEO = [sys.executable, "-m", "benchmarks.encoder_run", "{out}", "video"]
GENERIC = [sys.executable, "-m", "benchmarks.encoder_run", "{out}", "generic"]
CONTENDERS = (
    "blend",
    "ranker",
    "popularity",
    "RecentPopularity",
    "ItemKNN",
    "EASE",
    "NextItemRidge",
    "DirectionalCooccurrence",
    "ALS",
    "TextNeighbours",
)
NEW = ["seed", "map, Recall@10", "text neighbours", "text, decayed", "two places: new"]
NEW += ["text among all", "times", "warm NDCG@10 lost"]
SHUFFLED = ["--data.equal_times", "shuffle"]


def lastfm(source: Path, to: Path) -> None:
    """Plays of artists; an artist's text is its name and most given tags."""
    folder = source / "hetrec2011-lastfm-2k"
    options = {"separator": "\t", "quote_char": None}
    plays = pl.read_csv(folder / "user_artists.dat", **options)
    plays.select(user="userID", item="artistID", plays="weight").write_csv(to / "lastfm.csv")
    tagged = pl.read_csv(folder / "user_taggedartists.dat", truncate_ragged_lines=True, **options)
    names = pl.read_csv(folder / "tags.dat", encoding="latin-1", **options)
    tags = (
        tagged.join(names, on="tagID")
        .group_by("artistID", "tagValue")
        .len()
        .sort("artistID", -pl.col("len").cast(pl.Int64), "tagValue")
        .group_by("artistID", maintain_order=True)
        .agg(pl.col("tagValue").head(8).str.join(", ").alias("tags"))
    )
    artists = pl.read_csv(folder / "artists.dat", **options).select("id", title="name")
    artists.join(tags, left_on="id", right_on="artistID", how="left").rename(
        {"id": "item"}
    ).write_csv(to / "lastfm_items.csv")


def food(source: Path, to: Path) -> None:
    """Ratings of recipes without times; a recipe's text is its title and its tags."""
    folder = source / "food-who-health"
    ratings = pl.read_csv(folder / "all_ratings.csv")
    ratings.select(user="member_id", item="recipe_id", rating="rating").write_csv(to / "food.csv")
    recipes = pl.read_csv(folder / "recipes.csv")
    tags = [", ".join(ast.literal_eval(tags or "[]")) for tags in recipes["tags"]]
    recipes.select(item="recipe_id", title="title").with_columns(pl.Series("tags", tags)).write_csv(
        to / "food_items.csv"
    )


def amazon(source: Path, to: Path) -> None:
    """Reviews of products, five a user; nearly every product is there once."""
    events, items = [], {}
    for name in ("training", "validation", "test"):
        for line in (source / "amazon-2023-mini" / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            for event in [*row["history"], row["heldout"]]:
                item, product = event["parent_asin"], event.get("product") or {}
                events.append((row["user_id"], item, event["rating"], event["timestamp_ms"]))
                items[item] = (product.get("title"), product.get("main_category"))
    head = ["user", "item", "rating", "timestamp"]
    pl.DataFrame(events, schema=head, orient="row").write_csv(to / "amazon.csv")
    rows = [(item, *known) for item, known in items.items()]
    pl.DataFrame(rows, schema=["item", "title", "category"], orient="row").write_csv(
        to / "amazon_items.csv"
    )


def movielens(to: Path) -> None:
    """A random quarter of MovieLens-100K's users; and its order with sittings shuffled."""
    store = EventStore(run("video", out=to / "whole", until="data") / "data")
    users = store.users_of(np.arange(len(store.items)))
    times = np.asarray(store.times) // 1000
    log = pl.DataFrame(
        {
            "user": store.user_ids.gather(users),
            "item": store.catalog["item"].gather(np.asarray(store.items) - 1),
            "timestamp": times,
        }
    )
    chosen = np.random.default_rng(0).permutation(store.num_users)[: store.num_users // 4]
    log.filter(np.isin(users, chosen)).write_csv(to / "quarter.csv")
    # A sitting goes on until half an hour passes without an event; its events get one time.
    begins = np.ones(len(users), bool)
    begins[1:] = (users[1:] != users[:-1]) | (np.diff(times) > 1800)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(users)), 0))
    log.with_columns(pl.Series("timestamp", times[first])).write_csv(to / "sittings.csv")
    store.catalog.write_parquet(to / "films.parquet")


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("sets")
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        movielens(files)
        films = ["--items", "{data}/films.parquet"]
        for seed in range(3):
            benchmark.cell(
                f"ml-100k/seed-{seed}", [*VIDEO, "--seed", str(seed)], seed, "metrics.json"
            )
        rolling = [*VIDEO, "--data.split", "global-time"]
        for seed in range(3):
            command = [*rolling, "--seed", str(seed)]
            benchmark.cell(f"ml-100k-global-time/seed-{seed}", command, seed, "metrics.json")
        for seed in range(3):
            # The seed of the data stage draws the items that are kept out.
            command = [*VIDEO, "--data.split", "item-cold", "--data.seed", str(seed)]
            benchmark.cell(f"ml-100k-item-cold/seed-{seed}", command, seed, "metrics.json")
        cells = {
            "ml-100k-ties-shuffled": [*VIDEO, *SHUFFLED],
            "ml-100k-sittings-shuffled": [
                *VIDEO,
                "--log",
                "{data}/sittings.csv",
                *films,
                *SHUFFLED,
            ],
            "ml-100k-quarter": [*VIDEO, "--log", "{data}/quarter.csv", *films],
            "ml-100k-no-texts": [*VIDEO, "--ranker.data.init_args.text_encoder", "null"],
        }
        data = data_folder()
        if data is None:
            print("Last.fm, food and Amazon are left out: name their folder with --data.")
        else:
            for write, more in (
                (lastfm, SHUFFLED),
                (food, SHUFFLED),
                (amazon, ["--data.k_core", "0"]),
            ):
                write(data, files)
                log = ["--log", f"{{data}}/{write.__name__}.csv"]
                items = ["--items", f"{{data}}/{write.__name__}_items.csv"]
                cells[write.__name__] = [*GENERIC, *log, *items, *more]
        for key, command in cells.items():
            benchmark.cell(key, command, 0, "metrics.json", data=files)
    print(table(cells := today(benchmark.cells)), new_items(cells), sep="\n\n")


def table(cells: dict[str, dict]) -> str:
    """Set the test NDCG@10 of all contenders of all cells as a Markdown table."""
    rows = []
    for key, cell in cells.items():
        values = [cell["metrics"].get(f"test/{name}/ndcg@10") for name in CONTENDERS]
        shown = ["–" if value is None else f"{value:.4f}" for value in values]
        rows.append([key, *shown, f"{cell['metrics']['encoder_cpu_seconds']:.0f}"])
    return markdown(["log", *CONTENDERS, "CPU s"], rows)


def new_items(cells: dict[str, dict]) -> str:
    """Set what is found of items without a training event as a Markdown table."""
    found = [cells[f"ml-100k-item-cold/seed-{seed}"]["metrics"] for seed in range(3)]
    rows = [[str(seed), *_new(metrics)] for seed, metrics in enumerate(found)]
    means = {key: fmean(metrics[key] for metrics in found) for key in found[0] if "cold/" in key}
    return markdown(NEW, [*rows, ["mean", *_new(means)]])


def _new(metrics: dict[str, float]) -> list[str]:
    names = ("map", "text", "TextNeighbours", "places-2/cold", "text-among-all")
    values = [metrics[f"cold/{name}/recall@10"] for name in names]
    without, kept = (metrics[f"cold/places-{places}/warm/ndcg@10"] for places in (0, 2))
    times = f"{values[3] / values[4]:.1f}"
    return [*(f"{value:.3f}" for value in values), times, f"{1 - kept / without:.1%}"]


if __name__ == "__main__":
    main()
