"""The logs of benchmarks as CSV: public data sets as published, and generated ones.

A cell names what it needs under ``files``: ``films`` writes ``films.csv`` and ``films_items.csv``;
``beauty 10`` a tenth of the users of ``beauty``.
"""

import ast
import json
import re
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import polars as pl

from lightrec.data.store import TEST, TRAIN, VALIDATION, EventStore
from lightrec.stages.run import run

WORDS = ["river", "stone", "silver", "night", "garden"]
WORDS += ["paper", "winter", "engine", "honey", "glass"]
CATEGORIES = ["shoes", "lamps", "books", "tools", "toys", "plants", "bags", "mugs", "games"]
KINDS = {"view": 0.85, "cart": 0.1, "purchase": 0.05}
SITTING = 1800
"""Seconds without an event that end a sitting."""


def write(name: str, data: Path | None, to: Path, seed: int) -> None:
    """Write the files of a name into a folder, unless they were written with this seed.

    :param data: folder of the public data sets.
    """
    stamp = to / f".{name}"
    if stamp.is_file() and stamp.read_text() == str(seed):
        return
    log, _, share = name.partition(" ")
    if log == "shop":
        of_a_shop(name, *map(int, share.split("-")), data, to, seed)
    elif share:
        write_share(log, int(share), data, to, seed)
    else:
        globals()[name](data, to, seed)
    stamp.write_text(str(seed))


def films(data: Path, to: Path, seed: int) -> None:
    """MovieLens-100K in RecBole's files, and the logs of some users, drawn by the seed."""
    log = pl.read_csv(data / "ml-100k" / "ml-100k.inter", separator="\t")
    log = log.select(
        user="user_id:token",
        item="item_id:token",
        rating="rating:float",
        time=pl.col("timestamp:float").cast(pl.Int64),
    )
    items = pl.read_csv(
        data / "ml-100k" / "ml-100k.item", separator="\t", quote_char=None, infer_schema=False
    )
    items.select(
        item="item_id:token",
        title="movie_title:token_seq",
        year="release_year:token",
        genres="class:token_seq",
    ).write_csv(to / "films_items.csv")
    log.write_csv(to / "films.csv")
    users = np.random.default_rng(seed).permutation(log["user"].unique().sort().to_numpy())
    for count in (100, 300):
        chosen = pl.col("user").is_in(users[:count].tolist())
        log.filter(chosen).write_csv(to / f"films-{count}.csv")


def sittings(data: Path | None, to: Path, seed: int) -> None:
    """Films as a run prepares them: of a random quarter of users, and with one time a sitting."""
    log, store = prepared("video", to / "whole")
    chosen = np.random.default_rng(0).permutation(store.num_users)[: store.num_users // 4]
    users = store.users_of(np.arange(len(store.items)))
    log.filter(np.isin(users, chosen)).write_csv(to / "quarter.csv")
    time = pl.col("timestamp")
    sitting = (time.diff().over("user") > SITTING).fill_null(False).cum_sum()
    log.with_columns(time.first().over("user", sitting)).write_csv(to / "sittings.csv")
    store.catalog.write_parquet(to / "sittings_items.parquet")


def prepared(domain: str, out: Path, **given: Path) -> tuple[pl.DataFrame, EventStore]:
    """Prepare a log by a run, and read its events."""
    store = EventStore(run(domain, out=out, until="data", **given) / "data")
    users = store.users_of(np.arange(len(store.items)))
    columns = {
        "user": store.user_ids.gather(users),
        "item": store.catalog["item"].gather(np.asarray(store.items) - 1),
    }
    if store.has_times:
        columns["timestamp"] = np.asarray(store.times) // 1000
    return pl.DataFrame(columns), store


def write_share(name: str, share: int, data: Path, to: Path, seed: int) -> None:
    """A percentage of a log's users, drawn by the seed, and all items with five events or more."""
    kept, raw = to / f"{name}-whole.csv", to / "raw"
    if not kept.exists():
        raw.mkdir(exist_ok=True)
        files = {"log": raw / f"{name}.csv", "items": raw / f"{name}_items.csv"}
        if name == "beauty":
            files = {role: data / "amazon-beauty-p5" / f"{role}.csv" for role in files}
        else:
            globals()[name](data, raw, seed)
        log, store = prepared("generic", to / "whole" / name, **files)
        store.catalog.select(pl.col(pl.String)).write_csv(to / f"{name}_items.csv")
        log.write_csv(kept)
    log = pl.read_csv(kept, infer_schema=False)
    users = log["user"].unique().sort().to_numpy()
    drawn = np.random.default_rng(seed).permutation(users)[: round(len(users) * share / 100)]
    log.filter(pl.col("user").is_in(drawn.tolist())).write_csv(to / f"{name}-{share}-{seed}.csv")


def retail(data: Path, to: Path, seed: int) -> None:
    """What customers of Online Retail bought, without what they returned."""
    lines = pl.read_parquet(data / "online-retail" / "online_retail.parquet")
    lines = lines.filter(pl.col("Quantity") > 0, pl.col("CustomerID").is_not_null())
    time = pl.col("InvoiceDate").str.to_datetime("%m/%d/%y %H:%M").dt.epoch("s")
    log = lines.select(user="CustomerID", item="StockCode", time=time)
    log.write_csv(to / "retail.csv")
    named = lines.filter(pl.col("Description").is_not_null())
    items = named.group_by("StockCode", maintain_order=True).agg(pl.col("Description").last())
    items.select(item="StockCode", title="Description").write_csv(to / "retail_items.csv")


def lastfm(data: Path, to: Path, seed: int) -> None:
    """Plays of artists (HetRec 2011); an artist's text is its name and most given tags."""
    folder = data / "hetrec2011-lastfm-2k"
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


def food(data: Path, to: Path, seed: int) -> None:
    """Ratings of recipes without times; a recipe's text is its title and its tags."""
    folder = data / "food-who-health"
    ratings = pl.read_csv(folder / "all_ratings.csv")
    ratings.select(user="member_id", item="recipe_id", rating="rating").write_csv(to / "food.csv")
    recipes = pl.read_csv(folder / "recipes.csv")
    tags = [", ".join(ast.literal_eval(tags or "[]")) for tags in recipes["tags"]]
    recipes.select(item="recipe_id", title="title").with_columns(pl.Series("tags", tags)).write_csv(
        to / "food_items.csv"
    )


def amazon(data: Path, to: Path, seed: int) -> None:
    """Reviews of products, five a user; nearly every product is there once."""
    events, items = [], {}
    for name in ("training", "validation", "test"):
        for line in (data / "amazon-2023-mini" / f"{name}.jsonl").read_text().splitlines():
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


def ciao(data: Path, to: Path, seed: int) -> None:
    """Ratings of films by users of Ciao."""
    names = ["user", "item", "genre", "review", "rating", "date"]
    path = data / "ciaodvd" / "movie-ratings.txt"
    rated = pl.read_csv(path, has_header=False, new_columns=names)
    time = pl.col("date").str.to_date().dt.epoch("s")
    rated.select("user", "item", "rating", timestamp=time).write_csv(to / "ciao.csv")


def chain(data: Path | None, to: Path, seed: int) -> None:
    """Two of three events are one of four items that follow the one before, the others popular."""
    items, generator = 600, np.random.default_rng(seed)
    followers = generator.integers(0, items, (items, 4))
    popularity = np.arange(1, items + 1) ** -0.6
    popularity /= popularity.sum()
    rows = []
    for user in range(3_000):
        known: list[int] = []
        for time in range(14):
            item = int(generator.choice(items, p=popularity))
            if known and generator.random() < 2 / 3:
                item = int(generator.choice(followers[known[-1]], p=(0.55, 0.25, 0.12, 0.08)))
            if item not in known:
                known.append(item)
                rows.append((user, item, time))
    head = ["user", "item", "timestamp"]
    pl.DataFrame(rows, schema=head, orient="row").write_csv(to / "chain.csv")


def popular(items: int, offset: float = 50.0, power: float = 0.7) -> np.ndarray:
    """Shares of items by a long-tailed law."""
    weights = 1 / (np.arange(1, items + 1) + offset) ** power
    return weights / weights.sum()


def words() -> np.ndarray:
    """English words: those of Python's own help."""
    return np.unique(re.findall(r"\b[a-z]{3,}\b", " ".join(topics.values())))


def texts(data: Path | None, to: Path, seed: int) -> None:
    """A million generated events, two of three in one of a user's three themes, which titles of 8
    to 20 words tell.
    """
    users, items, themes, events = 60_000, 200_000, 400, 1_000_000
    generator, common = np.random.default_rng(seed), words()
    generator.shuffle(common)
    theme = np.arange(items) % themes
    known = generator.choice(common, (themes, 20))
    told = known[theme[:, None], generator.integers(0, 20, (items, 20))]
    said = common[generator.choice(len(common), (items, 20), p=popular(len(common), 5, 1))]
    mixed, lengths = generator.random((items, 20)) < 0.4, generator.integers(8, 21, items)
    rows = zip(np.where(mixed, told, said).tolist(), lengths.tolist(), strict=True)
    titles = [" ".join(row[:length]) for row, length in rows]
    pl.DataFrame({"item": np.arange(items), "title": titles}).write_csv(to / "texts_items.csv")
    user = generator.choice(users, events, p=popular(users, 5_000, 1))
    own = generator.integers(0, themes, (users, 3))[user, generator.integers(0, 3, events)]
    rank = generator.choice(items // themes, events, p=popular(items // themes, 5, 1))
    chosen = generator.choice(items, events, p=popular(items))
    log = {
        "user": user,
        "item": np.where(generator.random(events) < 2 / 3, own + themes * rank, chosen),
        "time": 1_700_000_000 + generator.integers(0, 30_000_000, events),
    }
    pl.DataFrame(log).write_csv(to / "texts.csv")


def titles_of(items: int, words: int, generator: np.random.Generator) -> list[str]:
    """Draw titles of a few words, which the number tells apart."""
    drawn = np.array(WORDS)[generator.integers(0, len(WORDS), (items, words))]
    return [f"{' '.join(row)} {number}" for number, row in enumerate(drawn)]


def of_a_shop(
    name: str, events: int, users: int, items: int, data: Path | None, to: Path, seed: int
) -> None:
    """Generated events of three kinds, by time, in parts of ten millions; a single one as CSV."""
    parts = -(-events // 10_000_000)
    events, span = events // parts, 30_000_000 // parts
    generator, known = np.random.default_rng(seed), popular(items)
    shares = generator.gamma(0.8, size=users)
    for part in range(parts):
        log = {
            "user_id": generator.choice(users, events, p=shares / shares.sum()) + 1,
            "item_id": generator.choice(items, events, p=known) + 100_001,
            "timestamp": 1_700_000_000 + part * span + np.sort(generator.integers(0, span, events)),
            "event": generator.choice(list(KINDS), events, p=list(KINDS.values())),
        }
        pl.DataFrame(log).write_parquet(to / f"{name}.parquet" / f"{part}.parquet", mkdir=True)
        if parts == 1:
            pl.DataFrame(log).write_csv(to / f"{name}.csv")
    pl.DataFrame(
        {
            "item_id": np.arange(items) + 100_001,
            "title": titles_of(items, 3, generator),
            "category": np.array(CATEGORIES)[generator.integers(0, len(CATEGORIES), items)],
            "price": np.round(np.exp(generator.normal(3.0, 1.0, items)), 2),
        }
    ).write_csv(to / f"{name}_items.csv")


ten = partial(of_a_shop, "ten", 10_000_000, 200_000, 100_000)
hundred = partial(of_a_shop, "hundred", 100_000_000, 2_000_000, 1_000_000)


def split(data: Path | None, to: Path, seed: int) -> None:
    """MovieLens-100K, split, for libraries that know nothing of lightrec."""
    export(run("video", out=to / "video", until="data") / "data", to / "split.npz")


def beauty_split(data: Path, to: Path, seed: int) -> None:
    """Beauty of P5, likewise."""
    files = {role: data / "amazon-beauty-p5" / f"{role}.csv" for role in ("log", "items")}
    export(run("generic", out=to / "beauty", until="data", **files) / "data", to / "beauty.npz")


def export(folder: Path, out: Path) -> None:
    """Write a split log as plain arrays; items are 0 to N - 1.

    ``train_items``, ``train_offsets``, ``validation``, ``test`` (-1: none), ``num_items``.

    :param folder: of the data stage, split leave-one-out.
    """
    store = EventStore(folder)
    items, parts = np.asarray(store.items, dtype=np.int64) - 1, np.asarray(store.parts)
    train, held_out = parts == TRAIN, {}
    for name, part in (("validation", VALIDATION), ("test", TEST)):
        events = store.events(part)
        held_out[name] = np.full(store.num_users, -1)
        held_out[name][store.users_of(events)] = items[events]
    offsets = np.concatenate([[0], np.cumsum(train)])[store.offsets]
    arrays = {"train_items": items[train], "train_offsets": offsets, **held_out}
    np.savez(out, num_items=store.num_items, **arrays)


def demonstrations(data: Path | None, to: Path, seed: int) -> None:
    """60 trajectories of 500 steps in CartPole, of a rule that never lets the pole fall."""
    from benchmarks.measure.carts import record

    record(to / "demonstrations.npz")


SHARED = ("beauty", "films", "food", "lastfm", "shop")
"""Logs of which some users may be drawn, and the shop, whose size follows its name."""
GENERATED = {"sittings", "chain", "ten", "hundred", "texts", "split", "demonstrations"}
"""Those that need no folder of public data sets."""
