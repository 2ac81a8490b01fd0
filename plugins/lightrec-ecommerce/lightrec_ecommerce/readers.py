"""Readers of Online Retail's baskets and Amazon's reviews of 2023, in their original files."""

from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.data.readers.json_lines import JsonTable
from lightrec.data.readers.published import PublishedReader
from lightrec.data.readers.text import open_text
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column
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
"""What the second edition calls otherwise."""
_JSON: Final = ("*.jsonl", "*.jsonl.gz", "*.jsonl.zst")
_REVIEW: Final = {
    "user_id": Column.USER,
    "parent_asin": Column.ITEM,
    "rating": Column.VALUE,
    "timestamp": Column.TIME,
}
_PRODUCT: Final = {"parent_asin": Column.ITEM, "store": "brand", "main_category": "category"}


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
        """Give lightrec's names of the columns, with those of the file's edition."""
        new = SECOND[Column.SESSION] in self.open(file).names
        return INVOICE | SECOND if new else INVOICE


class AmazonReader(PublishedReader):
    """Amazon Reviews 2023 (Hou et al. 2024): JSON lines of reviews, or a folder of such files.

    Either a review a line, with ``meta_NAME.jsonl`` beside ``NAME.jsonl``, or a line a person, with
    the reviews in ``history`` and ``heldout`` and products in these. A review is an event with the
    stars as its value, about the ``parent_asin``. Catalog: item, title, brand, category, price.
    Reviews without products beside are read by the reader of tables.
    """

    name = "amazon"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first line has the fields of reviews, and products are there too."""
        for file in _files(path)[:1]:
            try:
                first = bytes(open_text(file)[0][:10_000])
            except DataError:
                return False
            known = all(f'"{name}"'.encode() in first for name in [*_REVIEW][:3])
            return known and (_meta(file).is_file() or b'"history"' in first)
        return False

    def events(self, file: Path) -> InteractionLog:
        """Read the reviews."""
        if not (files := _files(file)):
            raise DataError("There is no file of reviews, whose name ends in .jsonl.", file)
        rows = pl.concat([_reviews(part) for part in files], how="diagonal")
        rows = rows.select(pl.exclude("product")).unique(maintain_order=True)
        with Problems(file).raising():
            return InteractionLog(rows, times="milliseconds", place=Place(file, "Line"))

    def items(self, file: Path) -> Catalog | None:
        """Read the products, where they are there."""
        found = [rows for part in _files(file) if (rows := _products(part)) is not None]
        if not found:
            return None
        products = pl.concat(found, how="diagonal_relaxed")
        return Catalog(products.unique(Column.ITEM, keep="first", maintain_order=True))


def _files(path: Path) -> list[Path]:
    files = sorted(f for end in _JSON for f in path.glob(end)) if path.is_dir() else [path]
    return [f for f in files if f.match("*.jsonl*") and not f.name.startswith("meta_")]


def _meta(file: Path) -> Path:
    return file.with_name(f"meta_{file.name}")


def _reviews(file: Path) -> pl.DataFrame:
    """Read user, item, value and time of a file's reviews; ``product`` where they hold it."""
    rows = JsonTable(file).rows
    if "history" in rows.columns:
        parts = [rows.select("user_id", "history").explode("history").unnest("history")]
        if "heldout" in rows.columns:
            parts.append(rows.select("user_id", "heldout").unnest("heldout"))
        rows = pl.concat(parts, how="diagonal_relaxed")
    rows = rows.rename(_REVIEW | {"timestamp_ms": Column.TIME}, strict=False)
    if lacking := {*_REVIEW.values()} - {*rows.columns}:
        raise DataError(f"The reviews have no field for {', '.join(sorted(lacking))}.", file)
    return rows.select(*_REVIEW.values(), *(["product"] * ("product" in rows.columns)))


def _products(file: Path) -> pl.DataFrame | None:
    """Read a file's products, from the table beside it or from its reviews."""
    if _meta(file).is_file():
        rows = JsonTable(_meta(file)).rows
    else:
        rows = _reviews(file)
        if "product" not in rows.columns:
            return None
        rows = rows.select(Column.ITEM, "product").unnest("product")
    rows = rows.rename(_PRODUCT, strict=False)
    wanted = (Column.ITEM, Column.TITLE, "brand", "category", PRICE)
    known = rows.select(pl.col(name for name in wanted if name in rows.columns))
    # A price is a number, or words such as "from 9.99".
    return known.with_columns(pl.col("^price$").cast(pl.Float64, strict=False))
