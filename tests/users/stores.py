"""Prepared logs for tests of data and of user models."""

import polars as pl

from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare


def prepared(events, folder, **settings):
    """Prepare events as they are: nothing filtered, and each user's last ones held out."""
    usual = {"domain": Domain(), "k_core": 0, "seed": 0}
    log = events if isinstance(events, InteractionLog) else InteractionLog(pl.DataFrame(events))
    return prepare(log, folder, **usual | settings)


OFFERED = {"user": ["u"] * 4, "item": ["a", None, "c", "b"], "time": [1, 2, 3, 4]}
OFFERED["candidates"] = [[], ["a", "b"], ["b", "c", "a"], ["b", "a"]]
TWO_SETS = {
    "user": [user for user in "uvwx" for _ in range(5)],
    "item": ["a", None, "a", "b", "a"] * 2 + ["c", None, "d", "d", "c"] * 2,
    "time": [*range(5)] * 4,
    "candidates": [["a", "b"]] * 10 + [["c", "d"]] * 10,
}
"""Four users with five events each, offered one of two sets."""
