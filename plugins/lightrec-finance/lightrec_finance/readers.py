"""Reader of the share trades that members of the US House of Representatives disclose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from lightrec import plugins
from lightrec.data.catalog import Catalog
from lightrec.data.files import check_file
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column

FILE: Final = "all_transactions.csv"
TEXTS: Final = "sp500_companies.csv", "sp500-company-text"
"""A table of companies with long summaries, and the folder beside the trades' where it may lie."""
NAMES: Final = "constituents.csv", "sp500-companies"
"""A table of companies' names and sectors, likewise."""
KINDS: Final = {
    "purchase": "purchase",
    "exchange": "exchange",
    "sale": "sale",
    "sale_full": "sale",
    "sale_partial": "sale",
}
OLDEST: Final = "2012-01-01"
"""The law that makes members disclose their trades is of 2012."""
_COLUMNS: Final = (
    "disclosure_date",
    "transaction_date",
    "ticker",
    "asset_description",
    "type",
    "representative",
)


class HouseReader(Reader):
    """House Stock Watcher's ``all_transactions.csv``, or the folder that it lies in.

    The time of an event is the day of its disclosure, on average a month after the trade: nobody
    but the member knows of it before, and a recommender that learned from it would look ahead.
    Trades that are disclosed on one day are in the order of their own days. A trade whose day is
    no date, is older than 2012 or later than its disclosure has no readable time.

    Items are tickers; the trades without one are left out, with a warning. Names, sectors and
    summaries come from ``constituents.csv`` and ``sp500_companies.csv``, if these lie in the same
    folder, or in the folders ``sp500-companies`` and ``sp500-company-text`` beside it.
    """

    name = "house-stock-watcher"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is such a file, or a folder with one."""
        file = _file(path)
        if file.name != FILE or not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.readline().startswith(b"disclosure_year,disclosure_date,transaction_date")

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read purchases, exchanges and sales.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        file = _file(path)
        problems = Problems(file)
        frame, place = _read(file, problems)
        frame = frame.with_row_index("row")
        unknown = ~frame["type"].is_in([*KINDS])
        problems.add_rows(
            unknown,
            lambda row: place.value(frame["type"], row, f"one of {', '.join(KINDS)}"),
        )
        problems.check()
        kept = frame.filter(_has_ticker())
        if left_out := frame.height - kept.height:
            plugins.warn(
                f"{left_out:,} of {frame.height:,} trades name no ticker, and are left out."
            )
        known = pl.col("disclosure_date").str.to_date("%m/%d/%Y", strict=False)
        traded = pl.col("transaction_date").str.to_date("%Y-%m-%d", strict=False)
        good = traded.is_between(pl.lit(OLDEST).str.to_date(), known)
        broken = pl.format("{} (traded {})", "disclosure_date", "transaction_date")
        kept = kept.with_columns(traded.alias("traded"), known.alias("known")).sort(
            "known", "traded", maintain_order=True, nulls_last=True
        )
        events = kept.select(
            pl.col("representative").alias(Column.USER),
            pl.col("ticker").alias(Column.ITEM),
            pl.when(good).then(known.cast(pl.String)).otherwise(broken).alias(Column.TIME),
            pl.col("type").replace_strict(KINDS).alias(Column.FEEDBACK),
        )
        names = {Column.TIME: "disclosure_date", Column.USER: "representative"}
        inside = place.within(kept["row"])
        with problems.raising():
            place = Place(file, inside.unit, inside.number, names, form=place.form)
            return InteractionLog(events, times=self.times, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read the tickers: title, sector, industry and text, as far as they are known."""
        _check_names(columns, path)
        file = _file(path)
        problems = Problems(file)
        frame, _ = _read(file, problems)
        problems.check()
        described = (
            frame.filter(_has_ticker())
            .group_by(pl.col("ticker").alias(Column.ITEM), maintain_order=True)
            .agg(pl.col("asset_description").str.strip_chars().mode().sort().first())
        )
        found = described.join(_names(file.parent), on=Column.ITEM, how="left")
        found = found.join(_texts(file.parent), on=Column.ITEM, how="left")
        title = pl.coalesce("name", "asset_description").alias(Column.TITLE)
        rows = found.select(Column.ITEM, title, Column.TEXT, "sector", "industry")
        return Catalog(
            rows, place=Place(file), types={"sector": "category", "industry": "category"}
        )


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of House Stock Watcher's file cannot be named.", path)


def _file(path: Path) -> Path:
    return path / FILE if path.is_dir() else path


def _read(file: Path, problems: Problems) -> tuple[pl.DataFrame, Place]:
    check_file(file)
    table = TextTable(file, ",")
    if missing := [name for name in _COLUMNS if name not in table.names]:
        raise DataError(f"These columns are missing: {', '.join(missing)}.", file)
    return table.read(_COLUMNS, problems)


def _has_ticker() -> pl.Expr:
    ticker = pl.col("ticker")
    return ticker.is_not_null() & ~ticker.is_in(["", "--"])


def _beside(folder: Path, where: tuple[str, str], columns: Mapping[str, str]) -> pl.DataFrame:
    """Give columns of a table that may lie beside the trades; no rows where it does not."""
    name, sibling = where
    places = folder / name, folder.parent / sibling / name
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    table, problems = TextTable(file, ","), Problems(file)
    if missing := [column for column in columns.values() if column not in table.names]:
        raise DataError(f"These columns are missing: {', '.join(missing)}.", file)
    frame, _ = table.read([*columns.values()], problems)
    problems.check()
    found = frame.select(pl.col(theirs).alias(ours) for ours, theirs in columns.items())
    return found.unique(Column.ITEM, keep="first", maintain_order=True)


def _names(folder: Path) -> pl.DataFrame:
    names = {"name": "Security", "sector": "GICS Sector", "industry": "GICS Sub-Industry"}
    return _beside(folder, NAMES, {Column.ITEM: "Symbol", **names})


def _texts(folder: Path) -> pl.DataFrame:
    return _beside(folder, TEXTS, {Column.ITEM: "Symbol", Column.TEXT: "Longbusinesssummary"})
