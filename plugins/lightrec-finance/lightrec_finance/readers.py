"""Reader of the share trades that members of the US House of Representatives disclose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec import plugins
from lightrec.api import Catalog, Column, InteractionLog, Place, Problems
from lightrec.data.types import Kind

KINDS: Final = {"purchase": "purchase", "exchange": "exchange"} | dict.fromkeys(
    ("sale", "sale_full", "sale_partial"), "sale"
)
OLDEST: Final = "2012-01-01"
"""The law that makes members disclose their trades is of 2012."""
HAS_TICKER: Final = ~pl.col(Column.ITEM).fill_null("--").is_in(["", "--"])


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
        names = {Column.USER: "representative", Column.ITEM: "ticker", Column.FEEDBACK: "type"}
        names |= {Column.TIME: "disclosure_date", "traded": "transaction_date"}
        frame, place = self.table(file, names)
        problems, kind, expected = Problems(file), frame["feedback"], f"one of {', '.join(KINDS)}"
        problems.add_rows(~kind.is_in([*KINDS]), lambda row: place.value(kind, row, expected))
        problems.check()
        disclosed = pl.col(Column.TIME).str.to_date("%m/%d/%Y", strict=False)
        traded = pl.col("traded").str.to_date("%Y-%m-%d", strict=False)
        good = traded.is_between(pl.lit(OLDEST).str.to_date(), disclosed)
        broken = pl.format("{} (traded {})", Column.TIME, "traded")
        kept = frame.with_row_index("row").filter(HAS_TICKER)
        if left_out := frame.height - kept.height:
            plugins.warn(
                f"{left_out:,} of {frame.height:,} trades name no ticker, and are left out."
            )
        kept = kept.sort(disclosed, traded, maintain_order=True, nulls_last=True)
        events = kept.select(
            Column.USER,
            Column.ITEM,
            pl.when(good).then(disclosed.cast(pl.String)).otherwise(broken).alias(Column.TIME),
            pl.col(Column.FEEDBACK).replace_strict(KINDS),
        )
        return self.checked(events, place.within(kept["row"]), file, {})

    def items(self, file: Path) -> Catalog:
        """Read the tickers: title, sector, industry and text, as far as they are known."""
        frame, _ = self.table(file, {Column.ITEM: "ticker", "own": "asset_description"})
        tickers = frame.filter(HAS_TICKER).group_by(Column.ITEM, maintain_order=True)
        rows = tickers.agg(pl.col("own").str.strip_chars().mode().sort().first())
        names = {"name": "Security", "sector": "GICS Sector", "industry": "GICS Sub-Industry"}
        texts = {Column.TEXT: "Longbusinesssummary"}
        for where, columns in (
            ("sp500-companies/constituents.csv", names),
            ("sp500-company-text/sp500_companies.csv", texts),
        ):
            companies = self.companies(file, where, columns)
            rows = rows.join(companies, on=Column.ITEM, how="left", maintain_order="left")
        title = pl.coalesce("name", "own").alias(Column.TITLE)
        rows = rows.select(Column.ITEM, title, Column.TEXT, "sector", "industry")
        types: dict[str, Kind] = {"sector": "category", "industry": "category"}
        return Catalog(rows, place=Place(file), types=types)

    def companies(self, file: Path, where: str, columns: Mapping[str, str]) -> pl.DataFrame:
        """Read a table of companies beside the trades; without rows where there is none.

        :param where: it may lie, from the folder above; or in the trades' own folder.
        """
        named = {Column.ITEM: "Symbol"} | dict(columns)
        for place in (file.with_name(Path(where).name), file.parent.parent / where):
            if place.is_file():
                rows, _ = self.table(place, named)
                return rows.unique(Column.ITEM, keep="first", maintain_order=True)
        return pl.DataFrame(schema=dict.fromkeys(named, pl.String))


class InvestmentSets(DescribedReader):
    """Published logs of investments; ``sets.yaml`` describes them."""

    name = "finance-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
