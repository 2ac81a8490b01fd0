"""A made-up shop whose truth is known: views, carts and purchases, goods and customers.

What is viewed follows popularity and curiosity. What is bought follows taste, price and who the
customer is, and one purchase in four is of something that its buyer had never looked at.
``python -m lightrec_ecommerce.made_up FOLDER EVENTS`` writes the files, 30,000 events by default.
In the log of ``--offline``, :func:`shopping`, goods are also sent back, and bought again.
"""

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.made_up import write_made_up

Floats = NDArray[np.float64]

REGIONS: Final = ("north", "east", "south", "west")
TAGS: Final = (
    "cotton", "linen", "wool", "leather", "oak", "steel", "glass", "handmade",
    "recycled", "summer", "winter", "outdoor", "kids", "office", "gift", "classic",
)  # fmt: skip
CATEGORIES: Final = {
    "shirts": 35, "shoes": 90, "bags": 70, "lamps": 60, "chairs": 140,
    "kitchen": 25, "books": 15, "toys": 20, "garden": 40, "sports": 55,
}  # fmt: skip
"""Each category's median price."""
START: Final = int(datetime.fromisoformat("2025-01-01T00:00:00Z").timestamp())
DAYS: Final = 120
DAY: Final = 86_400
USED_UP: Final = ("garden", "kitchen")
"""Categories of which some goods are bought again,"""
AGAIN: Final = 0.7
"""each time with this probability,"""
LASTS: Final = 18
"""after about so many days."""


@dataclass(frozen=True)
class Shop:
    """The files as tables, and what is true.

    :param log: customer, sku, event, time, price paid (of purchases alone); oldest first.
    :param products: sku, name, category, tags (parted by ``|``), price, added.
    :param customers: customer, age, region, budget.
    :param appeal: (customers, products) log-odds of buying what was looked at.
    """

    log: pl.DataFrame
    products: pl.DataFrame
    customers: pl.DataFrame
    appeal: Floats


def make(seed: int = 0, events: int = 30_000, customers: int = 1_000, products: int = 400) -> Shop:
    """Make a shop.

    :param events: exactly so many, the earliest ones of those that the customers come to.
    :raises ValueError: where the customers come to fewer events than that.
    """
    chance = np.random.default_rng(seed)
    goods, style = _products(chance, products)
    people, taste = _customers(chance, customers)
    price, budget = goods["price"].to_numpy(), people["budget"].to_numpy()
    dear = np.log(price / budget[:, None] * 2).clip(0)
    appeal = 1.3 * taste @ style.T - 2.0 * dear - 2.5
    fame = chance.permutation(-0.9 * np.log(np.arange(products) + 3.0))
    rows = [
        row
        for customer in range(customers)
        for row in _visits(chance, customer, appeal[customer], fame, style[:, : len(CATEGORIES)])
    ]
    if len(rows) < events:
        raise ValueError(f"{customers} customers come to {len(rows)} events, not to {events}.")
    rows.sort(key=lambda row: row[3])
    who, what, kind, when = zip(*rows[:events], strict=True)
    log = pl.DataFrame({"customer": who, "product": what, "event": kind, "time": when}).select(
        people["customer"].gather(list(who)),
        goods["sku"].gather(list(what)),
        "event",
        pl.from_epoch("time").dt.strftime("%Y-%m-%d %H:%M:%S"),
        pl.when(pl.col("event") == "purchase")
        .then(pl.Series(price).gather(list(what)))
        .alias("price paid"),
    )
    return Shop(log, goods, people, appeal)


def write(folder: Path | str, seed: int = 0, events: int = 30_000) -> Shop:
    """Write ``shop.csv``, ``products.csv`` and ``customers.csv`` into a folder, and give the shop.

    :param folder: made where it does not exist.
    """
    shop, folder = make(seed, events), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shop.log.write_csv(folder / "shop.csv")
    shop.products.write_csv(folder / "products.csv")
    shop.customers.write_csv(folder / "customers.csv")
    return shop


def shopping(folder: Path, seed: int) -> Path:
    """Write a log with the kinds ``view``, ``cart``, ``purchase`` and ``return``, and its truth.

    What appeals little is returned more often. What is used up is ordered again, in a basket with
    all else that its customer reorders in that week. The truth is the shop's appeal.

    :param folder: an empty folder, see :func:`~lightrec.data.made_up.write_made_up`.
    :returns: the folder.
    """
    shop, chance = make(seed, 8_000, customers=400, products=200), np.random.default_rng((seed, 1))
    log = shop.log.select(
        user="customer", item="sku", feedback="event", time=pl.col("time").str.to_datetime()
    )
    users = shop.customers.rename({"customer": "user"})
    tags = pl.col("tags").str.split("|")
    items = shop.products.rename({"sku": "item", "name": "title"}).with_columns(tags)
    bought = log.filter(pl.col("feedback") == "purchase").join(items, on="item")
    places = [
        bought[name].cast(pl.Enum(table[name])).to_physical().to_numpy()
        for name, table in (("user", users), ("item", items))
    ]
    back = chance.random(len(bought)) < 1 / (1 + np.exp(shop.appeal[*places] + 2.0))
    days = pl.Series(chance.uniform(2, 14, len(bought)) * DAY * 1e6).cast(pl.Duration("us"))
    returns = bought.with_columns(pl.col("time") + days, feedback=pl.lit("return")).filter(back)
    rows, left = [log, returns.select(log.columns)], bought.filter(~back)
    left = left.filter(pl.col("category").is_in(USED_UP)).select(log.columns)
    while len(left):
        left = left.filter(chance.random(len(left)) < AGAIN)
        days = pl.Series(LASTS * chance.lognormal(0, 0.2, len(left)) * DAY * 1e6)
        due = (pl.col("time") + days.cast(pl.Duration("us"))).dt.truncate("1w")
        left = left.with_columns(time=due).unique(maintain_order=True)
        rows.append(left)
    end = log["time"].max()
    whole = pl.concat(rows).filter(pl.col("time") <= end).sort("time", maintain_order=True)
    return write_made_up(folder, whole, items, users, shop.appeal)


def _products(chance: np.random.Generator, count: int) -> tuple[pl.DataFrame, Floats]:
    """Give the goods, and what they are, (count, categories + tags): ones for category and tags."""
    names = [*CATEGORIES]
    category = chance.integers(0, len(names), count)
    tags = np.stack([chance.choice(len(TAGS), 3, replace=False) for _ in range(count)])
    median = np.array([*CATEGORIES.values()], float)[category]
    price = np.round(median * np.exp(chance.normal(0, 0.5, count)), 0) - 0.01
    style = np.zeros((count, len(names) + len(TAGS)))
    style[np.arange(count), category] = 1
    style[np.arange(count)[:, None], len(names) + tags] = 1
    series = [f"{chr(65 + number % 26)}{number // 26 + 1}" for number in range(count)]
    table = pl.DataFrame(
        {
            "sku": [f"SK-{number * 37 + 10_000}" for number in range(count)],
            "name": [
                f"{TAGS[t[0]].title()} {names[c]} {s}"
                for c, t, s in zip(category, tags, series, strict=True)
            ],
            "category": [names[c] for c in category],
            "tags": ["|".join(TAGS[t] for t in row) for row in tags],
            "price": price.clip(1.99),
            "added": pl.from_epoch(
                pl.Series(START - chance.integers(1, 700, count) * 86_400)
            ).dt.date(),
        }
    )
    return table, style


def _customers(chance: np.random.Generator, count: int) -> tuple[pl.DataFrame, Floats]:
    """Give the customers, and their tastes, as (count, categories + tags), by region and age."""
    age = chance.integers(18, 80, count)
    region = chance.integers(0, len(REGIONS), count)
    size = len(CATEGORIES) + len(TAGS)
    own, regional = (
        chance.normal(0, 0.6, (count, size)),
        chance.normal(0, 0.5, (len(REGIONS), size)),
    )
    ageing = chance.normal(0, 0.5, size)
    taste = own + regional[region] + (age[:, None] - 49) / 18 * ageing
    budget = np.round(80 * np.exp(chance.normal(0, 0.6, count)) / 5) * 5 + 5
    table = pl.DataFrame(
        {
            "customer": [f"c{number + 1:04}" for number in range(count)],
            "age": age,
            "region": [REGIONS[r] for r in region],
            "budget": budget.astype(int),
        }
    )
    return table, taste


def _visits(
    chance: np.random.Generator, customer: int, appeal: Floats, fame: Floats, category: Floats
) -> list[tuple[int, int, str, int]]:
    """Let a customer come several times: rows of customer, product, kind of event and second."""
    rows: list[tuple[int, int, str, int]] = []
    basket: list[int] = []
    bought: set[int] = set()
    visits = np.sort(chance.uniform(0, DAYS * 86_400, chance.poisson(3.2) + 1)).astype(int)
    for begin in visits:
        second = START + int(begin)
        # Of curiosity: a visit is about one category, whatever the customer likes.
        mood = category @ (2.0 * np.eye(category.shape[1])[chance.integers(category.shape[1])])
        pull = fame + mood + 0.25 * appeal
        law = np.exp(pull - pull.max())
        law[[*bought]] = 0
        looks = chance.geometric(1 / 5)
        for product in chance.choice(len(law), looks, p=law / law.sum()):
            second += int(chance.integers(10, 120))
            rows.append((customer, int(product), "view", second))
            if product not in basket and chance.random() < _sigmoid(appeal[product] + 1.0):
                second += int(chance.integers(2, 10))
                basket.append(int(product))
                rows.append((customer, int(product), "cart", second))
        for product in [*basket]:
            if product in bought:
                basket.remove(product)
            elif chance.random() < _sigmoid(appeal[product] - 0.5):
                second += int(chance.integers(2, 30))
                basket.remove(product)
                bought.add(product)
                rows.append((customer, product, "purchase", second))
        # Some know what they want, and order it from the catalog without a look.
        wanted = np.exp(appeal - appeal.max())
        for product in chance.choice(len(wanted), chance.poisson(0.4), p=wanted / wanted.sum()):
            if product not in bought:
                second += int(chance.integers(5, 60))
                bought.add(int(product))
                rows.append((customer, int(product), "purchase", second))
    return rows


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else "."
    write(where, events=int(sys.argv[2]) if len(sys.argv) > 2 else 30_000)
