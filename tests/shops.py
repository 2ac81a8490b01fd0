"""Shops whose truth is known: what customers order follows one law, written down beside the log.

Customers visit and look at several items, some go into the basket, some of these are ordered and a
few come back. The export is an ordinary shop's: one line an event, with kinds, prices and times,
an item table with category paths and brands, a table of customers.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Law = Literal["category", "item", "sequence", "price", "chance"]
PATHS: Final = tuple(
    f"{top} > {below}"
    for top, belows in {
        "Books": ("Crime", "Poetry", "Travel"),
        "Kitchen": ("Pans", "Knives", "Tins"),
        "Garden": ("Seeds", "Tools", "Pots"),
        "Toys": ("Puzzles", "Trains", "Kites"),
    }.items()
    for below in belows
)
BRANDS: Final = ("Arden", "Birk", "Corvo", "Delft", "Ems", "Fjell")
BEGIN: Final = datetime(2025, 1, 1, 9)


@dataclass
class Shop:
    """A shop that follows a law.

    :param law: ``category``: each customer likes a few categories. ``item``: hidden groups of
        items, which no attribute tells, go together. ``sequence``: what is ordered next follows
        from what was ordered last. ``price``: customers keep to a price. ``chance``: everybody
        orders by popularity alone, so that nothing more can be known.
    :param visits: of a customer, in the mean.
    :param ordering: share of visits that end in an order.
    """

    law: Law
    seed: int = 0
    customers: int = 400
    items: int = 300
    visits: float = 9.0
    ordering: float = 0.4
    chance: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Draw items, customers and their events."""
        self.chance = np.random.default_rng([self.seed, len(self.law), ord(self.law[0])])
        count = self.items
        self.category = self.chance.integers(0, len(PATHS), count)
        self.brand = self.chance.integers(0, len(BRANDS), count)
        self.price = np.round(np.exp(self.chance.normal(3.0, 0.9, count)), 2)
        self.popularity = np.exp(self.chance.normal(0, 0.6, count))
        self.follows = self.chance.permutation(count)
        self.group = self.chance.integers(0, 20, count)
        self.likes = self.chance.dirichlet(np.full(len(PATHS), 0.15), self.customers)
        self.level = self.chance.normal(3.0, 0.9, self.customers)
        self.home = self.chance.dirichlet(np.full(20, 0.1), self.customers)
        self.orders: list[list[int]] = [[] for _ in range(self.customers)]
        self.events = self._events()

    def truth(self, customer: int) -> NDArray[np.float64]:
        """How likely each item is to be a customer's next order, (N,); what was ordered is out."""
        ordered = self.orders[customer]
        worth = self.popularity.copy()
        if self.law == "category":
            worth *= self.likes[customer, self.category]
        elif self.law == "item":
            worth *= self.home[customer, self.group]
        elif self.law == "price":
            worth *= np.exp(-((np.log(self.price) - self.level[customer]) ** 2) / (2 * 0.2**2))
        elif self.law == "sequence" and ordered:
            worth *= 0.3 / worth.sum()
            place = int(np.flatnonzero(self.follows == ordered[-1])[0])
            for step, share in enumerate((0.4, 0.2, 0.1), 1):
                worth[self.follows[(place + step) % self.items]] += share
        worth[ordered] = 0
        return worth / worth.sum() if worth.sum() > 0 else np.full(self.items, 1 / self.items)

    def share_of_oracle(self, lists: dict[str, list[str]]) -> float:
        """What lists hold of the next orders' probability, over what the best lists hold.

        :param lists: of item names, by the customers' names; as long as one another.
        """
        got = best = 0.0
        for name, shown in lists.items():
            law = self.truth(int(name[1:]))
            got += law[[int(item[1:]) for item in shown]].sum()
            best += np.sort(law)[::-1][: len(shown)].sum()
        return got / best

    def _events(self) -> pl.DataFrame:
        rows = []
        visits = 1 + self.chance.poisson(self.visits - 1, self.customers)
        times = [
            (float(t), c) for c in range(self.customers) for t in self.chance.random(visits[c])
        ]
        for day, customer in sorted(times):
            time = BEGIN + timedelta(days=240 * day)
            name = f"c{customer}"

            def note(item: int, kind: str, time: datetime, name: str = name) -> None:
                price = float(self.price[item]) if kind in ("order", "return") else None
                rows.append((name, f"i{item}", kind, price, time))

            law = self.truth(customer)
            wanted = int(self.chance.choice(self.items, p=law))
            looks = self.chance.choice(self.items, 2, p=(law + 1 / self.items) / 2)
            for item in dict.fromkeys([*looks.tolist(), wanted]):
                time += timedelta(minutes=float(self.chance.uniform(0.5, 4)))
                note(item, "view", time)
            if self.chance.random() < self.ordering + 0.2:
                time += timedelta(minutes=1)
                note(wanted, "basket", time)
                if self.chance.random() < self.ordering / (self.ordering + 0.2):
                    note(wanted, "order", time + timedelta(minutes=2))
                    self.orders[customer].append(wanted)
                    if self.chance.random() < 0.06:
                        note(wanted, "return", time + timedelta(days=5))
        columns = ["customer", "sku", "event", "price", "time"]
        return pl.DataFrame(rows, schema=columns, orient="row").sort("time", maintain_order=True)

    def write(self, folder: Path) -> dict[str, Path]:
        """Write the tables: ``log``, ``items``, ``users``."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers = range(self.items)
        items = pl.DataFrame(
            {
                "sku": [f"i{i}" for i in numbers],
                "title": [f"{PATHS[self.category[i]].split(' > ')[1]} {i}" for i in numbers],
                "category": [PATHS[self.category[i]] for i in numbers],
                "brand": [BRANDS[self.brand[i]] for i in numbers],
                "price": self.price,
            }
        )
        countries = self.chance.choice(["AT", "DE", "CH"], self.customers, p=(0.2, 0.6, 0.2))
        users = pl.DataFrame(
            {"customer": [f"c{c}" for c in range(self.customers)], "country": countries}
        )
        tables = {"log": self.events, "items": items, "users": users}
        paths = {name: folder / f"{name}.csv" for name in tables}
        for name, table in tables.items():
            table.write_csv(paths[name])
        return paths
