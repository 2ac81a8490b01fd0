"""Scorers that learn nothing, or that were computed elsewhere: what a model has to beat."""

from collections.abc import Mapping

import polars as pl
import torch
from torch import Tensor

from lightrec.data.readers.predictions import KNOWN, SCORE
from lightrec.errors import DataError
from lightrec.keys import Column, Key


class PopularityScorer:
    """Scores every item by its count, the same for everybody.

    :param counts: (N + 1,) training events of each item.
    """

    def __init__(self, counts: Tensor) -> None:
        self.counts = counts.double()

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Give (B, N + 1) scores."""
        users = batch[Key.USER]
        return self.counts.to(users.device).expand(len(users), -1)


class RandomScorer:
    """Scores items at random: for each user one order, that follows from the seed alone.

    :param num_items: N.
    :param seed: of the orders.
    """

    def __init__(self, num_items: int, seed: int = 0) -> None:
        self.num_items, self.seed = num_items, seed

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Give (B, N + 1) scores, uniform on [0, 1)."""
        users = batch[Key.USER]
        items = torch.arange(self.num_items + 1, device=users.device)
        mixed = _mix(_mix(_mix(users.new_full((), self.seed)) + users)[:, None] + items)
        return (mixed & (2**53 - 1)).double() / 2**53


def _mix(x: Tensor) -> Tensor:
    """Scramble 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = x + -0x61C8864680B583EB
    x = (x ^ ((x >> 30) & (2**34 - 1))) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & (2**37 - 1))) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & (2**33 - 1))


class PredictionScorer:
    """Scores from a table of predictions, as another recommender gives them.

    Items that a user's rows do not list share the last place.

    :param predictions: columns ``user``, ``item`` and ``score``, higher is better; and, where it is
        known, ``known_events``: how many of the user's events the list was made from.
    :param user_ids: the users' own ids, in row order.
    :param item_ids: the items' own ids, item 1 first.
    :raises DataError: where a column lacks, an id or a score is null, a score is not a number, a
        pair is listed twice, or no row fits the log. Rows about users or items that the prepared
        log does not have are passed over.
    """

    def __init__(self, predictions: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> None:
        _check(predictions)
        users = pl.DataFrame({Column.USER: user_ids.cast(pl.String)}).with_row_index("row")
        items = pl.DataFrame({Column.ITEM: item_ids.cast(pl.String)}).with_row_index("index", 1)
        known = (
            predictions.with_columns(
                pl.col(Column.USER, Column.ITEM).cast(pl.String), pl.col(SCORE).cast(pl.Float64)
            )
            .join(users, on=Column.USER)
            .join(items, on=Column.ITEM)
            .sort("row", "index")
        )
        if known.is_empty():
            raise DataError(
                "None of the predictions is about a user and an item of the prepared log: compare "
                f"the ids, which are such as user {_first(user_ids)} and item {_first(item_ids)}."
            )
        self.num_items = len(item_ids)
        rows = known.get_column("row").cast(pl.Int64).to_torch()
        self.items = known.get_column("index").cast(pl.Int64).to_torch()
        self.values = known.get_column(SCORE).to_torch()
        self.bottom = float(self.values.min()) - 1
        """The score of what is not listed."""
        self.offsets = torch.searchsorted(rows, torch.arange(len(user_ids) + 1))
        self.covers = self.offsets.diff() > 0
        """(U,) bool: which of the log's users have predictions."""
        self.known_events = torch.zeros(len(user_ids), dtype=torch.int64)
        """(U,) int64: how many of a user's events the list was made from; 0 where none says."""
        if KNOWN in known.columns:
            self.known_events[rows] = known.get_column(KNOWN).to_torch()

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Give (B, N + 1) scores."""
        users = batch[Key.USER].cpu()
        scores = torch.full((len(users), self.num_items + 1), self.bottom, dtype=torch.float64)
        for row, user in enumerate(users.tolist()):
            part = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
            scores[row, self.items[part]] = self.values[part]
        return scores.to(batch[Key.USER].device)

    def lists(self, users: Tensor, items: Tensor) -> Tensor:
        """Say which pairs of a user and an item the predictions list.

        :param users: (E,) int64 rows of the user table.
        :param items: (E,) int64, 1 to N.
        :returns: (E,) bool.
        """
        owners = torch.arange(len(self.covers)).repeat_interleave(self.offsets.diff())
        width = self.num_items + 1
        return torch.isin(users * width + items, owners * width + self.items)


def _first(ids: pl.Series) -> str:
    return repr(ids[0]) if len(ids) else "(none)"


def _check(predictions: pl.DataFrame) -> None:
    columns = (Column.USER, Column.ITEM, SCORE)
    missing = [name for name in columns if name not in predictions.columns]
    if missing:
        raise DataError(
            f"A table of predictions needs the columns user, item and score; it lacks "
            f"{', '.join(missing)} and has {', '.join(predictions.columns)}."
        )
    problems = [
        f"The column {name} has {count} empty values; every row needs one."
        for name in columns
        if (count := predictions.get_column(name).null_count())
    ]
    score = predictions.get_column(SCORE)
    if not score.dtype.is_numeric():
        problems.append(f"The column score must hold numbers; it holds {score.dtype}.")
    elif not score.cast(pl.Float64).drop_nulls().is_finite().all():
        problems.append("The column score holds values that are not finite numbers.")
    twice = predictions.height - predictions.select(Column.USER, Column.ITEM).n_unique()
    if twice:
        problems.append(f"{twice} rows list a user and an item that an earlier row lists already.")
    if problems:
        raise DataError(problems)
