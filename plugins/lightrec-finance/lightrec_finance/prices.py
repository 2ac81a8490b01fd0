"""Daily prices: read from tables with a column for each product, and cut off at a day."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.api import (
    Column,
    DataError,
    EventStore,
    NotApplicable,
    Problems,
    TextTable,
    to_numbers,
)
from lightrec.data.store import TEST, VALIDATION

MADE_UP: Final = "made-up"
"""In place of files: the prices of the synthetic log, which a seed gives again."""
Days: TypeAlias = NDArray[np.datetime64]
PriceFiles: TypeAlias = str | list[str]
"""As in recipes: one or several files, or :data:`MADE_UP`."""


@dataclass(frozen=True)
class Prices:
    """Prices of products at the end of each trading day.

    :param days: (D,) dates, ascending.
    :param names: N products, by their ids in a log.
    :param values: (D, N) float64, NaN where a product was not quoted.
    """

    days: Days
    names: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def read(cls, files: Sequence[Path]) -> Self:
        """Read CSV tables: the date in the first column, a column for each product.

        Of a product that stands in several files, the file named first counts. Days are those of
        any file.

        :raises DataError: with all problems found, up to 20.
        """
        problems, whole = Problems(), pl.DataFrame(schema={"day": pl.Date})
        for file in files:
            with problems.taking():
                table = _table(file)
                new = table.drop(set(whole.columns) - {"day"}, strict=False)
                whole = whole.join(new, on="day", how="full", coalesce=True)
        problems.check()
        whole = whole.sort("day")
        values = whole.drop("day").cast(pl.Float64).fill_null(np.nan).to_numpy()
        return cls(whole["day"].to_numpy(), tuple(whole.columns[1:]), values)

    @classmethod
    def of(cls, files: PriceFiles, store: EventStore) -> Self:
        """The prices of a log's items, (D, N), in the items' order.

        :param files: of :meth:`read`, or :data:`MADE_UP`.
        :raises NotApplicable: where no item of the log has a price.
        """
        items = store.catalog[Column.ITEM].to_list()
        if files == MADE_UP:
            from lightrec_finance.made_up import market

            products, days, made = market(store.meta["settings"]["seed"])
            prices = cls(days, tuple(products[Column.ITEM]), made)
        else:
            paths = [files] if isinstance(files, str) else files
            prices = cls.read([Path(path) for path in paths])
        columns = {name: column for column, name in enumerate(prices.names)}
        unquoted = np.full((len(prices.days), 1), np.nan)
        values = np.hstack([prices.values, unquoted])[:, [columns.get(n, -1) for n in items]]
        if np.isnan(values).all():
            raise NotApplicable(
                f"None of the log's {len(items)} items has a price in {files}. Name tables of "
                "daily prices, whose columns are the items' ids, with --values.prices FILE."
            )
        return cls(prices.days, tuple(items), values)

    def until(self, day: np.datetime64) -> "Prices":
        """The prices known in the evening of a day: none of later days."""
        past = self.days <= day
        return Prices(self.days[past], self.names, self.values[past])

    @property
    def filled(self) -> NDArray[np.float64]:
        """(D, N): the last price of each day or before it; NaN before a product's first one."""
        there = ~np.isnan(self.values)
        last = np.maximum.accumulate(np.where(there, np.arange(len(self.days))[:, None], 0), 0)
        return np.asarray(np.take_along_axis(self.values, last, 0))


def span(store: EventStore, *parts: int) -> tuple[np.datetime64, np.datetime64]:
    """The first and the last day with events of some parts of a log.

    :raises NotApplicable: where the log has no times, or no such events.
    """
    chosen = np.isin(store.parts, parts)
    if not (store.has_times and chosen.any()):
        raise NotApplicable("Prices go by days, and the log has no times, or holds nothing out.")
    times = np.asarray(store.times)[chosen].astype("datetime64[ms]").astype("datetime64[D]")
    return times.min(), times.max()


def decided_by(store: EventStore) -> np.datetime64:
    """The last day before a log's first held-out event, beyond which no training may look."""
    return span(store, VALIDATION, TEST)[0] - 1


def _table(file: Path) -> pl.DataFrame:
    problems, table = Problems(file), TextTable(file, ",")
    if len(table.names) < 2:
        raise DataError("Expected are a column of dates and one of prices for each product.", file)
    texts, place = table.read(table.names, problems)
    first, *names = table.names
    days = texts[first].str.to_date("%Y-%m-%d", strict=False)
    expected = "a date such as 2024-01-31, or comes twice"
    problems.add_rows(
        days.is_null() | days.is_duplicated(),
        lambda row: place.value(texts[first], row, expected),
    )
    limits = sys.float_info.min, sys.float_info.max, "a price above 0, or an empty field"
    prices = [to_numbers(texts[name], pl.Float64(), limits, place, problems) for name in names]
    problems.check()
    return pl.DataFrame([days.alias("day"), *prices])
