"""Readers of Online Retail's baskets and of other published shops."""

from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader

from lightrec.api import Catalog, Column, InteractionLog
from lightrec_ecommerce.domain import PRICE

INVOICE: Final = {
    Column.USER: "CustomerID",
    Column.ITEM: "StockCode",
    Column.TIME: "InvoiceDate",
    Column.COUNT: "Quantity",
    Column.SESSION: "InvoiceNo",
    Column.TITLE: "Description",
    PRICE: "UnitPrice",
}
SECOND: Final = {Column.USER: "Customer ID", Column.SESSION: "Invoice", PRICE: "Price"}
"""Columns that the second edition calls otherwise."""


class RetailReader(PublishedReader):
    """Online Retail, or Online Retail II, of UCI as CSV or Parquet: lines of invoices.

    A line is a ``purchase``, or a ``return`` where its quantity is below 0 or its invoice begins
    with C; give ``return`` the weight 0 to leave these out. An invoice is a session, a quantity the
    count. Lines without a customer, and those of quantity 0, are left out. Catalog: item, title
    (the last description), price (the median).
    """

    name = "retail"
    known_by = frozenset({"StockCode", "Description", "Quantity", "InvoiceDate"})

    def events(self, file: Path) -> InteractionLog:
        """Read the lines."""
        whole = {Column.COUNT: (-(2**62), 2**62, "a whole number")}
        lines, place = self.table(file, self.columns(file), whole)
        count = lines[Column.COUNT]
        session = pl.col(Column.SESSION).cast(pl.String)
        back = (count < 0) | lines.select(session.str.starts_with("C")).to_series()
        kept = lines[Column.USER].is_not_null() & (count != 0)
        events = lines.select(
            # Spreadsheets make of a customer's number one with a decimal point.
            pl.col(Column.USER).cast(pl.String).str.strip_suffix(".0"),
            Column.ITEM,
            Column.TIME,
            session,
            count.abs(),
            feedback=pl.when(back).then(pl.lit("return")).otherwise(pl.lit("purchase")),
        ).filter(kept)
        text = events.schema[Column.TIME] == pl.String
        times = "month-first" if text and self.times in ("auto", ("auto", False)) else self.times
        return InteractionLog(events, times=times, place=place.within(kept.arg_true()))

    def items(self, file: Path) -> Catalog:
        """Read what the goods are called and cost."""
        lines, place = self.table(file, self.columns(file))
        price = pl.col(PRICE).cast(pl.Float64, strict=False)
        goods = lines.group_by(Column.ITEM, maintain_order=True).agg(
            pl.col(Column.TITLE).drop_nulls().last(), price.filter(price > 0).median()
        )
        return Catalog(goods.drop_nulls(Column.ITEM), place=place)

    def columns(self, file: Path) -> dict[str, str]:
        """The columns by lightrec's names, and what the file's edition calls them."""
        new = SECOND[Column.SESSION] in self.open(file).names
        return INVOICE | SECOND if new else INVOICE


class ShopSets(DescribedReader):
    """Published logs of shops; ``sets.yaml`` describes them."""

    name = "ecommerce-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
