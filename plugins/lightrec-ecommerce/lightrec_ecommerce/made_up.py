"""A synthetic shop whose truth is known: views, carts and purchases, goods and customers.

What is viewed follows popularity and curiosity. What is bought follows taste, price and who the
customer is, and one purchase in four is of something that its buyer had never looked at.
``python -m lightrec_ecommerce.made_up FOLDER EVENTS`` writes the files, 30,000 events by default.
In the log of ``--offline``, :func:`shopping`, goods are also sent back, and bought again.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.made_up import DAY, NEW_YEAR, Floats, write_made_up
from scipy.special import expit

from lightrec.api import Column

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
REGIONS, TAGS, CATEGORIES = _WORDS.values()
"""Regions; tags; categories with their median prices."""
DAYS: Final = 120
USED_UP: Final = ("garden", "kitchen")
"""Categories of which some goods are bought again,"""
AGAIN: Final = 0.7
"""each time with this probability,"""
LASTS: Final = 18
"""after about so many days."""


def make(
    seed: int = 0, events: int = 30_000, customers: int = 1_000, products: int = 400
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, Floats]:
    """Make a shop.

    :param events: exactly so many, the earliest ones of those that the customers come to.
    :returns: the log (user, item, feedback, time, price paid of purchases alone), oldest first;
        products (item, title, category, tags, price, added); customers (user, age, region, budget);
        and the truth, (customers, products) log-odds of buying what was looked at.
    :raises ValueError: where the customers come to fewer events than that.
    """
    chance = np.random.default_rng(seed)
    goods, style = _products(chance, products)
    people, taste = _customers(chance, customers)
    price, budget = goods["price"], people["budget"].to_numpy()
    dear = np.log(price.to_numpy() / budget[:, None] * 2).clip(0)
    appeal = 1.3 * taste @ style.T - 2.0 * dear - 2.5
    fame = chance.permutation(-0.9 * np.log(np.arange(products) + 3.0))
    rows = [
        (customer, *row)
        for customer in range(customers)
        for row in _visits(chance, appeal[customer], fame, style[:, : len(CATEGORIES)])
    ]
    if len(rows) < events:
        raise ValueError(f"{customers} customers come to {len(rows)} events, not to {events}.")
    rows.sort(key=lambda row: row[3])
    who, what, kind, when = (pl.Series(part) for part in zip(*rows[:events], strict=True))
    names = {Column.USER: people["user"].gather(who), Column.ITEM: goods["item"].gather(what)}
    log = pl.DataFrame(names | {Column.FEEDBACK: kind, Column.TIME: pl.from_epoch(when)})
    paid = pl.when(feedback="purchase").then(price.gather(what)).alias("price paid")
    return log.with_columns(paid), goods, people, appeal


def write(folder: Path | str, seed: int = 0, events: int = 30_000) -> None:
    """Write ``shop.csv``, ``products.csv`` and ``customers.csv`` as a shop may call its columns.

    :param folder: made where it does not exist.
    """
    log, goods, people, _ = make(seed, events)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = {"user": "customer", "item": "sku", "feedback": "event", "title": "name"}
    goods = goods.with_columns(pl.col("tags").list.join("|"))
    tables = {"shop": log, "products": goods, "customers": people}
    for name, table in tables.items():
        named = table.rename(names, strict=False)
        named.write_csv(folder / f"{name}.csv", datetime_format="%Y-%m-%d %H:%M:%S")


def shopping(folder: Path, seed: int) -> Path:
    """Write a log with the kinds ``view``, ``cart``, ``purchase`` and ``return``, and its truth.

    What appeals little is returned more often. What is used up is ordered again, in a basket with
    all else that its customer reorders in that week. The truth is the shop's appeal.

    :param folder: an empty folder, see :func:`~lightrec_formats.made_up.write_made_up`.
    :returns: the folder.
    """
    log, items, users, appeal = make(seed, 8_000, customers=400, products=200)
    log, chance = log.drop("price paid"), np.random.default_rng((seed, 1))
    bought = log.filter(feedback="purchase").join(items, on="item")
    places = [
        bought[name].cast(pl.Enum(table[name])).to_physical().to_numpy()
        for name, table in (("user", users), ("item", items))
    ]
    back = chance.random(len(bought)) < expit(-(appeal[*places] + 2.0))
    returns = _later(bought, chance.uniform(2, 14, len(bought))).filter(back)
    rows = [log, returns.select(log.columns).with_columns(feedback=pl.lit("return"))]
    left = bought.filter(~back).filter(pl.col("category").is_in(USED_UP)).select(log.columns)
    while len(left):
        left = left.filter(chance.random(len(left)) < AGAIN)
        left = _later(left, LASTS * chance.lognormal(0, 0.2, len(left)))
        left = left.with_columns(pl.col("time").dt.truncate("1w")).unique(maintain_order=True)
        rows.append(left)
    whole = pl.concat(rows).filter(pl.col("time") <= log["time"].max())
    whole = whole.sort("time", maintain_order=True)
    return write_made_up(folder, whole, _on_sale(items, chance), users, appeal)


def _on_sale(goods: pl.DataFrame, chance: np.random.Generator) -> pl.DataFrame:
    """Say how many pieces are left at the end, and when a product is sold; few are gone."""
    gone, last = chance.random((2, goods.height)) < 0.04, NEW_YEAR + DAYS * DAY / 2
    until = np.where(gone[1], last, NEW_YEAR + 1000 * DAY)
    return goods.with_columns(
        pl.Series("stock", np.where(gone[0], 0, 1 + chance.poisson(20, goods.height))),
        pl.col("added").alias("available_from"),
        pl.from_epoch(pl.Series("available_until", until.astype(int))).dt.date(),
    )


def _later(events: pl.DataFrame, days: Floats) -> pl.DataFrame:
    return events.with_columns(pl.col("time") + pl.Series(days * DAY * 1e6).cast(pl.Duration("us")))


def _products(chance: np.random.Generator, count: int) -> tuple[pl.DataFrame, Floats]:
    """The goods, and what they are, (count, categories + tags): ones for category and tags."""
    names = [*CATEGORIES]
    category = chance.integers(0, len(names), count)
    tags = np.stack([chance.choice(len(TAGS), 3, replace=False) for _ in range(count)])
    median = np.array([*CATEGORIES.values()], float)[category]
    price = np.round(median * np.exp(chance.normal(0, 0.5, count)), 0) - 0.01
    style = np.hstack([np.eye(len(names))[category], np.eye(len(TAGS))[tags].sum(1)])
    added = chance.integers(1, 700, count)
    table = pl.DataFrame(
        {
            Column.ITEM: [f"SK-{number * 37 + 10_000}" for number in range(count)],
            Column.TITLE: [
                f"{TAGS[tags[n, 0]].title()} {names[category[n]]} {chr(65 + n % 26)}{n // 26 + 1}"
                for n in range(count)
            ],
            "category": [names[c] for c in category],
            "tags": [[TAGS[t] for t in row] for row in tags],
            "price": price.clip(1.99),
            "added": pl.from_epoch(pl.Series(NEW_YEAR - added * DAY)).dt.date(),
        }
    )
    return table, style


def _customers(chance: np.random.Generator, count: int) -> tuple[pl.DataFrame, Floats]:
    """The customers, and their tastes, as (count, categories + tags), by region and age."""
    age = chance.integers(18, 80, count)
    region = chance.integers(0, len(REGIONS), count)
    size = len(CATEGORIES) + len(TAGS)
    personal, regional = chance.normal(0, 0.6, (count, size)), chance.normal(0, 0.5, (4, size))
    ageing = chance.normal(0, 0.5, size)
    taste = personal + regional[region] + (age[:, None] - 49) / 18 * ageing
    budget = np.round(80 * np.exp(chance.normal(0, 0.6, count)) / 5) * 5 + 5
    table = pl.DataFrame(
        {
            Column.USER: [f"c{number + 1:04}" for number in range(count)],
            "age": age,
            "region": [REGIONS[r] for r in region],
            "budget": budget.astype(int),
        }
    )
    return table, taste


def _visits(
    chance: np.random.Generator, appeal: Floats, fame: Floats, category: Floats
) -> list[tuple[int, str, int]]:
    """Let a customer come several times: rows of product, kind of event and second."""
    rows: list[tuple[int, str, int]] = []
    basket: list[int] = []
    bought: set[int] = set()
    now = NEW_YEAR

    def add(product: int, kind: str, least: int, most: int) -> None:
        nonlocal now
        now += int(chance.integers(least, most))
        rows.append((product, kind, now))

    for begin in np.sort(chance.uniform(0, DAYS * DAY, chance.poisson(3.2) + 1)):
        now = NEW_YEAR + int(begin)
        # Of curiosity: a visit is about one category, whatever the customer likes.
        mood = category @ (2.0 * np.eye(category.shape[1])[chance.integers(category.shape[1])])
        pull = fame + mood + 0.25 * appeal
        law = np.exp(pull - pull.max())
        law[[*bought]] = 0
        for product in chance.choice(len(law), chance.geometric(1 / 5), p=law / law.sum()).tolist():
            add(product, "view", 10, 120)
            if product not in basket and chance.random() < expit(appeal[product] + 1.0):
                basket.append(product)
                add(product, "cart", 2, 10)
        for product in [*basket]:
            if product in bought:
                basket.remove(product)
            elif chance.random() < expit(appeal[product] - 0.5):
                basket.remove(product)
                bought.add(product)
                add(product, "purchase", 2, 30)
        # Some know what they want, and order it from the catalog without a look.
        wanted = np.exp(appeal - appeal.max())
        for product in chance.choice(len(wanted), chance.poisson(0.4), p=wanted / wanted.sum()):
            if product not in bought:
                bought.add(int(product))
                add(int(product), "purchase", 5, 60)
    return rows


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else "."
    write(where, events=int(sys.argv[2]) if len(sys.argv) > 2 else 30_000)
