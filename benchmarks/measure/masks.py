"""The cost of asking a domain that goes by what people did, beside a list of a large catalog.

A person's list is made as `lightrec recommend` makes it, with prerequisites of courses and without.
"""

from statistics import median
from time import perf_counter
from unittest.mock import patch

import numpy as np
import polars as pl

from benchmarks.logs import popular
from benchmarks.measure import Cell
from lightrec.data.audience import Audience, Mask
from lightrec.data.domain import Domain
from lightrec.recommend import Recommender

USERS, EVENTS = 4_000, 50
SETTINGS = [
    *("--values.text_encoder", "null", "--data.k_core", "0", "--ranker.trainer.max_epochs", "0"),
    *("--ranker.model.init_args.item_models", "[]", "--until", "ranker"),
    *("--ranker.data.init_args.max_validated", "50"),
]


class Courses(Domain):
    """A course is open to who has had all that it requires."""

    by_history = True

    def eligible(self, audience: Audience) -> Mask:
        """Forbid what requires something else."""
        return audience.had_all("requires")


def measure(cell: Cell) -> dict[str, float]:
    """Time lists in turns, with the domain and without: milliseconds, and the share it adds."""
    items, chance = cell["items"], np.random.default_rng(cell.seed)
    names = np.arange(items).astype(str)
    drawn = chance.integers(0, items, (items, 2)).astype(str).tolist()
    required = [some[: number % 3] for number, some in enumerate(drawn)]
    files = cell.out / "log.parquet", cell.out / "items.parquet"
    rows = np.concatenate([names, chance.choice(names, USERS * EVENTS - items, p=popular(items))])
    log = {"user": np.arange(len(rows)) % USERS, "item": rows, "time": np.arange(len(rows))}
    pl.DataFrame(log).write_parquet(files[0])
    pl.DataFrame({"item": names, "requires": required}).write_parquet(files[1])
    run = cell.run("generic", "--log", str(files[0]), "--items", str(files[1]), *SETTINGS)
    recommender = Recommender(run.path, "blend")
    users = recommender.store.user_ids.sample(cell["lists"], seed=cell.seed).to_list()
    spent: dict[str, list[float]] = {"without": [], "with": []}
    for user in [users[0], *users]:  # the first ones, which load what is needed, are left out
        for name, domain in (("without", Domain()), ("with", Courses())):
            people = recommender.people
            people.__dict__["_by_history"] = domain.by_history
            with patch("lightrec.data.domain.domain_of", lambda store, domain=domain: domain):
                began = perf_counter()
                recommender.recommend(user, history=[names[0]])
                spent[name].append(1000 * (perf_counter() - began))
    without, asked = (median(times[1:]) for times in spent.values())
    return {"without_ms": without, "with_ms": asked, "added_share": asked / without - 1}
