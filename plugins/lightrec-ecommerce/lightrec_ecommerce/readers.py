"""Readers of Online Retail's baskets and Amazon's reviews of 2023, in their original files."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.json_lines import JsonTable
from lightrec.data.readers.table import TableReader
from lightrec.data.readers.text import open_text
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column
from lightrec_ecommerce.domain import PRICE

INVOICE: Final = (
    {"InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"},
    {"Invoice", "StockCode", "Quantity", "InvoiceDate", "Price", "Customer ID"},
)
"""The columns of Online Retail, and of its second edition."""
_JSON: Final = ("*.jsonl", "*.jsonl.gz", "*.jsonl.zst")


class RetailReader(TableReader):
    """Online Retail, or Online Retail II, of UCI as CSV or Parquet: lines of invoices.

    A line is a ``purchase``, or a ``return`` where its quantity is below 0 or its invoice begins
    with C; give ``return`` the weight 0 to leave these out. An invoice is a session, a quantity the
    count. Lines without a customer, and those of quantity 0, are left out. Catalog: item, title
    (the last description), price (the median).
    """

    name = "retail"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a table with the set's columns."""
        names = head(path)
        return any(columns <= names for columns in INVOICE)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read the lines, and the goods that they name."""
        log = self.read_log(path, columns)
        return Tables(log, self.read_items(path))

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the lines.

        :param columns: must be empty, since the columns are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        lines, place, new = self._lines(path, columns)
        problems = Problems(path)
        count = lines["Quantity"].cast(pl.Int64, strict=False)
        wrong = partial(place.value, lines["Quantity"], expected="a whole number")
        problems.add_rows(count.is_null(), wrong)
        problems.check()
        invoice = pl.col("Invoice" if new else "InvoiceNo").cast(pl.String)
        back = (count < 0) | lines.select(invoice.str.starts_with("C")).to_series()
        person = "Customer ID" if new else "CustomerID"
        kept = lines[person].is_not_null() & (count != 0)
        # Spreadsheets make of a customer's number one with a decimal point.
        customer = pl.col(person).cast(pl.String)
        events = lines.select(
            customer.str.strip_suffix(".0").alias(Column.USER),
            pl.col("StockCode").alias(Column.ITEM),
            pl.col("InvoiceDate").alias(Column.TIME),
            pl.when(back).then(pl.lit("return")).otherwise(pl.lit("purchase")).alias("feedback"),
            count.abs().alias(Column.COUNT),
            invoice.alias(Column.SESSION),
        ).filter(kept)
        names = (person, "StockCode", "InvoiceDate", "Quantity", "Invoice" if new else "InvoiceNo")
        own = (Column.USER, Column.ITEM, Column.TIME, Column.COUNT, Column.SESSION)
        form = self.open(path).form
        named = dict(zip(own, names, strict=True))
        place = replace(place.within(kept.arg_true()), names=named, form=form)
        times = "month-first" if self.times in ("auto", ("auto", False)) else self.times
        text = events.schema[Column.TIME] == pl.String
        with problems.raising():
            return InteractionLog(events, times=times if text else self.times, place=place)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read what the goods are called and cost."""
        lines, _, new = self._lines(path, columns)
        price = pl.col("Price" if new else "UnitPrice").cast(pl.Float64, strict=False)
        named = [pl.col("Description").drop_nulls().last()] * ("Description" in lines.columns)
        goods = lines.group_by(pl.col("StockCode").alias(Column.ITEM), maintain_order=True).agg(
            *(words.alias(Column.TITLE) for words in named),
            price.filter(price > 0).median().alias(PRICE),
        )
        return Catalog(goods.drop_nulls(Column.ITEM), place=Place(path))

    def _lines(
        self, path: Path, columns: Mapping[str, str] | None
    ) -> tuple[pl.DataFrame, Place, bool]:
        """Read all columns; also whether they are those of the second edition."""
        fixed(columns, path)
        table, problems = self.open(path), Problems(path)
        new = "Invoice" in table.names
        if lacking := INVOICE[new] - {*table.names}:
            problems.add(f"There is no column {', '.join(sorted(lacking))}; give the whole file.")
        frame, place = table.read(table.names, problems)
        problems.check()
        return frame, place, new


class AmazonReader(Reader):
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
        return any(_is_amazon(file) for file in _json_files(path)[:1])

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the reviews.

        :param columns: must be empty, since the fields are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        fixed(columns, path)
        files = _json_files(path)
        if not files:
            raise DataError("There is no file of reviews, whose name ends in .jsonl.", path)
        rows = pl.concat([_reviews(file) for file in files], how="diagonal")
        rows = rows.select(pl.exclude("product")).unique(maintain_order=True)
        with Problems(path).raising():
            return InteractionLog(rows, times="milliseconds", place=Place(path, "Line"))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the products, where they are there."""
        fixed(columns, path)
        found = []
        for file in _json_files(path):
            meta = _meta(file)
            if meta.is_file():
                rows = JsonTable(meta).rows.rename({"parent_asin": Column.ITEM})
            else:
                rows = _reviews(file)
                if "product" not in rows.columns:
                    continue
                rows = rows.select(Column.ITEM, "product").unnest("product")
            rows = rows.rename({"store": "brand", "main_category": "category"}, strict=False)
            wanted = (Column.ITEM, Column.TITLE, "brand", "category")
            known = rows.select(pl.col(name for name in wanted if name in rows.columns))
            if PRICE in rows.columns:  # a number, or words such as "from 9.99"
                known = known.with_columns(rows[PRICE].cast(pl.Float64, strict=False))
            found.append(known)
        if not found:
            return None
        products = pl.concat(found, how="diagonal_relaxed")
        return Catalog(products.unique(Column.ITEM, keep="first", maintain_order=True))


def fixed(columns: Mapping[str, str] | None, path: Path) -> None:
    """Refuse names of columns, which the formats here do not leave open."""
    if columns:
        raise DataError("The columns of this format are fixed and cannot be named.", path)


def head(path: Path) -> set[str]:
    """Give the names of a table's columns without reading it; none where it is no table."""
    if path.is_dir() or not TableReader.recognises(path):
        return set()
    if path.suffix == ".parquet":
        try:
            return {*pl.read_parquet_schema(path)}
        except pl.exceptions.PolarsError:  # the reader of tables says what is wrong with it
            return set()
    with path.open("rb") as stream:
        head = stream.read(4000).partition(b"\n")[0].decode("utf-8", "replace")
    return {name.strip('" \r\ufeff') for name in head.replace(";", ",").split(",")}


def _json_files(path: Path) -> list[Path]:
    files = sorted(f for end in _JSON for f in path.glob(end)) if path.is_dir() else [path]
    return [f for f in files if f.match("*.jsonl*") and not f.name.startswith("meta_")]


def _is_amazon(file: Path) -> bool:
    try:
        first = bytes(open_text(file)[0][:10_000])
    except DataError:
        return False
    fields = all(f'"{name}"'.encode() in first for name in ("user_id", "parent_asin", "rating"))
    return fields and (_meta(file).is_file() or b'"history"' in first)


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
    names = {"user_id": Column.USER, "parent_asin": Column.ITEM, "rating": Column.VALUE}
    names |= {"timestamp": Column.TIME, "timestamp_ms": Column.TIME}
    rows = rows.rename(names, strict=False)
    if lacking := {*names.values()} - {*rows.columns}:
        raise DataError(f"The reviews have no field for {', '.join(sorted(lacking))}.", file)
    wanted = [*dict.fromkeys(names.values()), *(["product"] * ("product" in rows.columns))]
    return rows.select(wanted)
