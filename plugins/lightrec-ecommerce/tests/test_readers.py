"""Online Retail's log of a shop, hand-written and real."""

import polars as pl
import pytest
from lightrec_ecommerce.readers import RetailReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

LINES = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID"
NEW = LINES.replace("No,", ",").replace("UnitP", "P").replace("rID", "r ID")
FILES = {
    "retail.csv": f"{LINES}\n1,A,MUG,6,12/13/2010 8:26,2.5,17\nC2,A,MUG,-6,12/14/2010 9:00,2.5,17.0"
    "\n3,B,,2,12/14/2010 9:10,0,\n4,B,PEN,2,12/15/2010 9:10,1,18\n",
    "second.csv": f"{NEW}\n1,A,MUG,6,2010-12-13 08:26:00,2.5,17\n",
}
CASES = {
    "retail.csv": (
        RetailReader,
        ("time", "user", "item", "feedback", "count", "session"),
        [
            ("2010-12-13 08:26:00", "17", "A", "purchase", 6, "1"),
            ("2010-12-14 09:00:00", "17", "A", "return", 6, "C2"),
            ("2010-12-15 09:10:00", "18", "B", "purchase", 2, "4"),
        ],
        {"A": {"title": "MUG", "price": 2.5}, "B": {"title": "PEN", "price": 1.0}},
    ),
    "second.csv": (RetailReader, ("user", "count"), [("17", 6)], {"A": {"price": 2.5}}),
}


@pytest.fixture
def small(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_small_files(small, name):
    reader, columns, rows, items = CASES[name]
    check_all(ReaderChecks(reader, small / name))
    assert type(find_reader(small / name)) is reader
    tables = reader().read(small / name)
    times = pl.col("time").dt.to_string("%F %T")
    assert tables.log.events.with_columns(times).select(columns).rows() == rows
    catalog = {row["item"]: row for row in tables.catalog.rows.iter_rows(named=True)}
    for item, expected in items.items():
        assert catalog[item].items() >= expected.items()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("retail.csv", FILES["retail.csv"].replace("PEN,2", "PEN,two"), "'Quantity': 'two' is not"),
        ("retail.csv", FILES["retail.csv"].replace("12/15/2010", "soon"), "Line 5, column 'Inv"),
    ],
)
def test_problems_are_named(small, name, text, message):
    (small / name).write_text(text)
    with pytest.raises(DataError, match=message):
        find_reader(small / name).read(small / name)


def test_the_real_set(lightrec_data):
    path = lightrec_data / "online-retail" / "online_retail.parquet"
    tables = find_reader(path).read(path)
    # The set's own count of lines with a customer; returned lines are 4,107 of them.
    assert (len(tables.log), len(tables.catalog.rows)) == (172_782, 3_645)
