"""Reader of the share trades that members of the US House of Representatives disclose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from lightrec import plugins
from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.data.readers.published import PublishedReader
from lightrec.data.schema import Place, Problems
from lightrec.keys import Column

KINDS: Final = {
    "purchase": "purchase",
    "exchange": "exchange",
    "sale": "sale",
    "sale_full": "sale",
    "sale_partial": "sale",
}
OLDEST: Final = "2012-01-01"
"""The law that makes members disclose their trades is of 2012."""
_HAS_TICKER: Final = ~pl.col("ticker").fill_null("--").is_in(["", "--"])


class HouseReader(PublishedReader):
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
    file = "all_transactions.csv"
    known_by = frozenset({"disclosure_year", "disclosure_date", "transaction_date"})

    def events(self, file: Path) -> InteractionLog:
        """Read purchases, exchanges and sales."""
        names = {
            Column.USER: "representative",
            Column.ITEM: "ticker",
            Column.TIME: "disclosure_date",
            Column.FEEDBACK: "type",
        }
        own = ("transaction_date", "disclosure_date", "ticker", "type")
        frame, place = self.table(file, names | {name: name for name in own})
        problems, frame = Problems(file), frame.with_row_index("row")
        expected = f"one of {', '.join(KINDS)}"
        problems.add_rows(
            ~frame["type"].is_in([*KINDS]),
            lambda row: place.value(frame["type"], row, expected),
        )
        problems.check()
        known = pl.col("disclosure_date").str.to_date("%m/%d/%Y", strict=False)
        traded = pl.col("transaction_date").str.to_date("%Y-%m-%d", strict=False)
        kept = frame.filter(_HAS_TICKER).with_columns(traded=traded, known=known)
        if left_out := frame.height - kept.height:
            plugins.warn(
                f"{left_out:,} of {frame.height:,} trades name no ticker, and are left out."
            )
        kept = kept.sort("known", "traded", maintain_order=True, nulls_last=True)
        good = pl.col("traded").is_between(pl.lit(OLDEST).str.to_date(), pl.col("known"))
        broken = pl.format("{} (traded {})", "disclosure_date", "transaction_date")
        events = kept.select(
            Column.USER,
            Column.ITEM,
            pl.when(good).then(pl.col("known").cast(pl.String)).otherwise(broken).alias("time"),
            pl.col("type").replace_strict(KINDS).alias(Column.FEEDBACK),
        )
        return InteractionLog(events, times=self.times, place=place.within(kept["row"]))

    def items(self, file: Path) -> Catalog:
        """Read the tickers: title, sector, industry and text, as far as they are known."""
        frame, _ = self.table(file, {name: name for name in ("ticker", "asset_description")})
        described = (
            frame.filter(_HAS_TICKER)
            .group_by(pl.col("ticker").alias(Column.ITEM), maintain_order=True)
            .agg(pl.col("asset_description").str.strip_chars().mode().sort().first())
        )
        names = {"name": "Security", "sector": "GICS Sector", "industry": "GICS Sub-Industry"}
        companies = self.companies(file, "sp500-companies/constituents.csv", names)
        texts = {Column.TEXT: "Longbusinesssummary"}
        summaries = self.companies(file, "sp500-company-text/sp500_companies.csv", texts)
        found = described.join(companies, on=Column.ITEM, how="left")
        found = found.join(summaries, on=Column.ITEM, how="left")
        title = pl.coalesce("name", "asset_description").alias(Column.TITLE)
        rows = found.select(Column.ITEM, title, Column.TEXT, "sector", "industry")
        types = dict.fromkeys(("sector", "industry"), "category")
        return Catalog(rows, place=Place(file), types=types)

    def companies(self, file: Path, where: str, columns: Mapping[str, str]) -> pl.DataFrame:
        """Read a table of companies beside the trades; without rows where there is none.

        :param where: it may lie, from the folder above; or in the trades' own folder.
        """
        named = {Column.ITEM: "Symbol"} | dict(columns)
        places = file.with_name(Path(where).name), file.parent.parent / where
        for place in places:
            if place.is_file():
                found, _ = self.table(place, named)
                return found.unique(Column.ITEM, keep="first", maintain_order=True)
        return pl.DataFrame(schema=dict.fromkeys(named, pl.String))
