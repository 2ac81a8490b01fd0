"""Synthetic logs whose truth is known: what a domain writes for `--offline`.

In each of their events people choose, among the items that are there at that moment, item i with
probability ∝ exp(appeal of i to them + what the moment adds).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.api import Catalog, Column, InteractionLog, Users
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Moment: TypeAlias = Callable[[int, Floats, Rows], Floats]
"""From an event's number, the times (U,) in seconds and the items (U, events so far) that people
have chosen, to what the moment adds to appeal, (U, N) or (N,); -inf for what is not there."""

DAY: Final = 86_400
BEGIN: Final = 1_700_000_000.0
"""14 November 2023 in seconds since 1970."""
NEW_YEAR: Final = 1_735_689_600
"""1 January 2025 in seconds since 1970."""
APPEAL: Final = "appeal"
TRUTH: Final = "truth.parquet"
"""Beside a log that was invented: user, item and the appeal of each pair."""


class Choices(NamedTuple):
    """Events: of each, in the order of time, the row of its person, that of its item, and when.

    :param users: (E,) from 0.
    :param items: (E,) from 0.
    :param times: (E,) seconds since 1970.
    """

    users: Rows
    items: Rows
    times: Rows

    @property
    def numbers(self) -> Rows:
        """(E,) which of its person's events each is, from 0."""
        people = pl.DataFrame({"user": self.users})
        return people.select(pl.int_range(pl.len()).over("user")).to_series().to_numpy()

    def log(self, users: pl.Series, items: pl.Series, **columns: object) -> pl.DataFrame:
        """The events as a log: user, item, time and further columns.

        :param users: (U,) names of the people.
        :param items: (N,) those of the items.
        :param columns: (E,) values, or one for all events.
        """
        people, things = users.gather(self.users), items.gather(self.items)
        times = pl.from_epoch(pl.Series(self.times))
        log = {Column.USER: people, Column.ITEM: things, Column.TIME: times}
        return pl.DataFrame(log | columns)


def ended(times: Floats, lengths: Rows) -> Floats:
    """Times (U, E) of which each person has the first ones (U,), and NaN after them."""
    return np.where(np.arange(times.shape[1]) < lengths[:, None], times, np.nan)


def choose(
    appeal: Floats,
    times: Floats,
    chance: np.random.Generator,
    moment: Moment | None = None,
    repeats: bool = False,
) -> Choices:
    """Let people choose one item after the other.

    :param appeal: (U, N) log-odds of choosing, up to a constant a person.
    :param times: (U, E) seconds since 1970, each row ascending; NaN where a person has no event.
    :param chance: draws the noise.
    :param repeats: whether an item may be chosen again.
    """
    chosen = np.zeros((len(times), 0), np.int64)
    people = np.arange(len(times))
    gone = np.zeros(appeal.shape, bool)
    for event in range(times.shape[1]):
        added = moment(event, times[:, event], chosen) if moment else 0.0
        logits = appeal + chance.gumbel(size=appeal.shape) + added
        picked = np.where(gone, -np.inf, logits).argmax(1)
        chosen = np.column_stack([chosen, picked])
        gone[people, picked] = not repeats
    there = np.isfinite(times)
    users = np.nonzero(there)[0]
    order = np.argsort(times[there], kind="stable")
    return Choices(users[order], chosen[there][order], times[there][order].astype(np.int64))


def write_made_up(
    folder: Path, log: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, appeal: Floats
) -> Path:
    """Write a log and its truth into an existing folder, which lightrec reads as it is.

    :param log: canonical columns (:class:`~lightrec.data.log.InteractionLog`).
    :param items: N rows with ``item`` and ``title``.
    :param users: U rows with ``user``.
    :param appeal: (U, N), which is written to :data:`TRUTH`.
    :returns: the folder.
    """
    write_tables(Tables(InteractionLog(log), Catalog(items), Users(users)), folder)
    pairs = users.select(Column.USER).join(items.select(Column.ITEM), how="cross")
    pairs.with_columns(pl.Series(APPEAL, appeal.ravel())).write_parquet(folder / TRUTH)
    return folder
