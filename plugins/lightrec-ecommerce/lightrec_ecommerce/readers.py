"""Readers of four public logs of shops in their original files.

Online Retail's baskets, Amazon's reviews of 2023, the coats of Schnabel et al. 2016, and the Open
Bandit Dataset, a bandit's log with its propensities.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
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
BANDIT: Final = {"timestamp", "item_id", "position", "click", "propensity_score"}
CONTEXT: Final = "item_context.csv"
FEATURES: Final = "user_item_features"
"""The folder of Coat's descriptions."""
RATED: Final = ("train.ascii", "test.ascii")
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
        names = _head(path)
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
        kept = lines["Customer ID" if new else "CustomerID"].is_not_null() & (count != 0)
        # Spreadsheets make of a customer's number one with a decimal point.
        customer = pl.col("Customer ID" if new else "CustomerID").cast(pl.String)
        events = lines.select(
            customer.str.strip_suffix(".0").alias(Column.USER),
            pl.col("StockCode").alias(Column.ITEM),
            pl.col("InvoiceDate").alias(Column.TIME),
            pl.when(back).then(pl.lit("return")).otherwise(pl.lit("purchase")).alias("feedback"),
            count.abs().alias(Column.COUNT),
            invoice.alias(Column.SESSION),
        ).filter(kept)
        names = {Column.TIME: "InvoiceDate", Column.ITEM: "StockCode"}
        rows = kept.arg_true()
        place = Place(path, place.unit, lambda row: place.number(rows[row]), names)
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
        _fixed(columns, path)
        table, problems = self.open(path), Problems(path)
        frame, place = table.read(table.names, problems)
        problems.check()
        return frame, place, "Invoice" in table.names


class AmazonReader(Reader):
    """Amazon Reviews 2023 (Hou et al. 2024): JSON lines of reviews, or a folder of such files.

    Either a review a line, with ``meta_NAME.jsonl`` beside ``NAME.jsonl`` if it is there, or a line
    a person, with the reviews in ``history`` and ``heldout`` and products in these. A review is an
    event with the stars as its value. Catalog: item, title, brand, category, price.
    """

    name = "amazon"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first line has the fields of a review, or of a person with reviews."""
        return any(_is_amazon(file) for file in _json_files(path)[:1])

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the reviews.

        :param columns: must be empty, since the fields are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _fixed(columns, path)
        files = _json_files(path)
        if not files:
            raise DataError("There is no file of reviews, whose name ends in .jsonl.", path)
        rows = pl.concat([_reviews(file) for file in files], how="diagonal")
        rows = rows.select(pl.exclude("product")).unique(maintain_order=True)
        with Problems(path).raising():
            return InteractionLog(rows, times="milliseconds", place=Place(path, "Line"))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the products, where they are there."""
        _fixed(columns, path)
        found = []
        for file in _json_files(path):
            meta = file.with_name(f"meta_{file.name}")
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


class CoatReader(Reader):
    """Coat's folder (Schnabel et al. 2016): a matrix of ratings, a row a person, a column a coat.

    The folder is the log of what people chose to rate, and the file ``test.ascii`` that of coats
    drawn at random; there are no times. The propensities in the folder are estimates, and are not
    read. Catalog and users: what ``user_item_features`` says, such as jackettype and color.
    """

    name = "coat"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is one of the two matrices, or a folder with the first."""
        file = _ratings(path)
        return file.name in RATED and file.is_file()

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the ratings, 1 to 5, where 0 is none.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: where a row is longer than another, or a number is no rating.
        """
        _fixed(columns, path)
        matrix = _matrix(_ratings(path), range(6))
        rows = [(str(u), str(i), r) for u, row in enumerate(matrix) for i, r in enumerate(row) if r]
        names = (Column.USER, Column.ITEM, Column.VALUE)
        return InteractionLog(pl.DataFrame(rows, names, orient="row"), place=Place(path))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read what the coats are like, where that is there."""
        rows = _described(_ratings(path).parent / FEATURES, Column.ITEM)
        return rows if rows is None else Catalog(rows)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read who the people are, where that is there."""
        rows = _described(_ratings(path).parent / FEATURES, Column.USER)
        return rows if rows is None else Users(rows)


class OpenBanditReader(TableReader):
    """A campaign of the Open Bandit Dataset (Saito et al. 2021): its CSV file, or the folder.

    A row is an item shown at a position, by a policy whose propensity is known: the value is 1 for
    a click and 0 for none, and all items of the campaign were candidates. The set names no people;
    each row has a user of its own, whose attributes are the user features. Catalog: item, and the
    item features.
    """

    name = "open-bandit"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is the log of a campaign, or a folder with it."""
        return _head(_campaign(path)) >= BANDIT

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read what was shown, and whether it was clicked.

        :param columns: must be empty, since the columns are fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _fixed(columns, path)
        file = _campaign(path)
        log = super().read_log(file)
        context = file.parent / CONTEXT
        items = _column(context, "item_id") if context.is_file() else log.events[Column.ITEM]
        offered = pl.lit(items.unique().sort().to_list()).alias(Column.CANDIDATES)
        return InteractionLog(log.events.with_columns(offered), place=log.place)

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read the log with both tables."""
        log = self.read_log(path, columns)
        return Tables(log, self.read_items(path), self.read_users(path))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the items' features, where they are there."""
        file = _campaign(path).parent / CONTEXT
        if not file.is_file():
            return None
        table, problems = self.open(file), Problems(file)
        wanted = [name for name in table.names if name.startswith("item_")]
        rows, place = table.read(wanted, problems)
        problems.check()
        return Catalog(rows.rename({"item_id": Column.ITEM}), place=place)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users:
        """Read the user features of each row."""
        file, problems = _campaign(path), Problems(path)
        table = self.open(file)
        names = [name for name in table.names if name.startswith("user_feature")]
        rows, place = table.read(names, problems)
        users = self.read_log(file).users()
        return Users(rows.insert_column(0, users), place=place)


def _fixed(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of this format are fixed and cannot be named.", path)


def _head(path: Path) -> set[str]:
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


def _column(path: Path, name: str) -> pl.Series:
    problems = Problems(path)
    frame, _ = TableReader().open(path).read([name], problems)
    problems.check()
    return frame[name]


def _campaign(path: Path) -> Path:
    """Find the log in a campaign's folder; it is named like the folder."""
    return path / f"{path.name}.csv" if path.is_dir() else path


def _json_files(path: Path) -> list[Path]:
    files = sorted(f for end in _JSON for f in path.glob(end)) if path.is_dir() else [path]
    return [f for f in files if f.match("*.jsonl*") and not f.name.startswith("meta_")]


def _is_amazon(file: Path) -> bool:
    try:
        first = json.loads(bytes(open_text(file)[0][:1_000_000]).splitlines()[0])
    except (ValueError, IndexError, DataError):
        return False
    fields = {*first} if isinstance(first, dict) else set()
    return {"user_id", "parent_asin", "rating", "timestamp"} <= fields or {
        "user_id",
        "history",
    } <= fields


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


def _ratings(path: Path) -> Path:
    return path / RATED[0] if path.is_dir() else path


def _matrix(file: Path, values: range) -> list[list[int]]:
    """Read a matrix of whole numbers, parted by blanks.

    :raises DataError: where rows differ in length, or a number is out of range.
    """
    lines = bytes(open_text(file)[0]).decode().splitlines()
    allowed, problems, rows = {str(value): value for value in values}, Problems(file), []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        rows.append([allowed.get(field, 0) for field in fields])
        if wrong := [field for field in fields if field not in allowed]:
            expected = f"{values.start} to {values.stop - 1}"
            problems.add(f"Line {number}: '{wrong[0]}' is no whole number from {expected}.")
        elif len(fields) != len(rows[0]):
            problems.add(f"Line {number} has {len(fields)} numbers, and line 1 {len(rows[0])}.")
    problems.check()
    return rows


def _described(folder: Path, kind: str) -> pl.DataFrame | None:
    """Turn a matrix of features and their names, such as ``color:red``, into attributes."""
    matrix, named = folder / f"{kind}_features.ascii", folder / f"{kind}_features_map.txt"
    if not (matrix.is_file() and named.is_file()):
        return None
    features = [line.partition(":") for line in named.read_text().splitlines() if line]
    rows = _matrix(matrix, range(2))
    if rows and len(rows[0]) != len(features):
        raise DataError(f"It names {len(features)} features of {len(rows[0])}.", named)
    table = [
        {kind: str(n)} | {f[0]: f[2] for f, there in zip(features, row, strict=True) if there}
        for n, row in enumerate(rows)
    ]
    return pl.DataFrame(table, {name: pl.String for name in [kind, *(f[0] for f in features)]})
