"""What lightrec needs to know about a field of use."""

from pathlib import Path

import numpy as np
import polars as pl

from lightrec.api import Catalog, Domain, InteractionLog

KINDS = ("tea", "rope", "lamp", "song")


class HelloDomain(Domain):
    """Things with a title and a kind, each seen once."""

    name = "hello"
    repeats = False

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put items into words: what is known of them, in small letters."""
        return super().text(items).str.to_lowercase()

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a synthetic log of 80 people, who take eight of the twelve things of a kind each.

        :param folder: an empty folder.
        :returns: the folder.
        """
        kinds = [KINDS[item % len(KINDS)] for item in range(12 * len(KINDS))]
        items = {"item": [f"i{item}" for item in range(len(kinds))], "kind": kinds}
        titles = [f"{kind} number {item}" for item, kind in enumerate(kinds)]
        chance, events = np.random.default_rng(seed), []
        for user in range(80):
            for day, place in enumerate(chance.permutation(12)[:8]):
                item = len(KINDS) * place + user % len(KINDS)
                events.append((f"u{user}", f"i{item}", f"2024-01-{day + 1:02}"))
        log = pl.DataFrame(events, schema=["user", "item", "time"], orient="row")
        InteractionLog(log).write_parquet(folder / "log.parquet")
        Catalog(pl.DataFrame({**items, "title": titles})).write_parquet(folder / "catalog.parquet")
        return folder
