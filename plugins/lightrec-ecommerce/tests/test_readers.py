"""Four logs of shops, hand-written and real."""

import json

import polars as pl
import pytest
from lightrec_ecommerce.experiments import CoatReader, OpenBanditReader
from lightrec_ecommerce.readers import AmazonReader, RetailReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

REVIEW = {"user_id": "u", "parent_asin": "B1", "rating": 5.0, "timestamp": 1_600_000_000_000}
META = {"parent_asin": "B1", "title": "Soap", "store": "Pears", "price": "from 2"}
META |= {"main_category": "Beauty"}
LINES = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID"
NEW = LINES.replace("No,", ",").replace("UnitP", "P").replace("rID", "r ID")
BANDIT = ",timestamp,item_id,position,click,propensity_score,user_feature_0,affinity_0"
FILES = {
    "retail.csv": f"{LINES}\n1,A,MUG,6,12/13/2010 8:26,2.5,17\nC2,A,MUG,-6,12/14/2010 9:00,2.5,17.0"
    "\n3,B,,2,12/14/2010 9:10,0,\n4,B,PEN,2,12/15/2010 9:10,1,18\n",
    "second.csv": f"{NEW}\n1,A,MUG,6,2010-12-13 08:26:00,2.5,17\n",
    "Soap.jsonl": 2 * (json.dumps(REVIEW) + "\n"),
    "meta_Soap.jsonl": json.dumps(META) + "\n",
    "coat/train.ascii": "0 5\n3 0\n",
    "coat/test.ascii": "1 0\n0 2\n",
    "coat/user_item_features/item_features.ascii": "1 0\n0 1\n",
    "coat/user_item_features/item_features_map.txt": "color:red\ncolor:blue",
    "men/men.csv": f"{BANDIT}\n0,2019-11-24 00:01:03+00:00,7,3,0,0.25,x,0.0\n"
    "1,2019-11-24 00:01:04+00:00,8,1,1,0.5,y,0.0\n",
    "men/item_context.csv": ",item_id,item_feature_0\n0,7,-0.5\n1,8,0.5\n2,9,1.5\n",
}
VALUE = ("user", "item", "value")
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
    "Soap.jsonl": (
        AmazonReader,
        ("time", *VALUE),
        [("2020-09-13 12:26:40", "u", "B1", 5.0)],
        {"B1": {"title": "Soap", "brand": "Pears", "price": None}},
    ),
    "coat": (CoatReader, VALUE, [("0", "1", 5.0), ("1", "0", 3.0)], {"1": {"color": "blue"}}),
    "coat/test.ascii": (CoatReader, VALUE, [("0", "0", 1.0), ("1", "1", 2.0)], {}),
    "men": (
        OpenBanditReader,
        ("item", "value", "position", "propensity", "candidates"),
        [("7", 0.0, 3, 0.25, ["7", "8", "9"]), ("8", 1.0, 1, 0.5, ["7", "8", "9"])],
        {"9": {"item_feature_0": 1.5}},
    ),
}


@pytest.fixture
def small(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
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
        ("coat/train.ascii", "0 7\n3 0\n", "Line 1, column .2.: .7. is not a whole number"),
        ("coat/user_item_features/item_features_map.txt", "color:red", "names 1 features of 2"),
    ],
)
def test_problems_are_named(small, name, text, message):
    (small / name).write_text(text)
    path = small / ("coat" if name.startswith("coat") else name)
    with pytest.raises(DataError, match=message):
        find_reader(path).read(path)


@pytest.mark.parametrize(
    ("path", "events", "items"),
    [
        # The set's own count of lines with a customer; returned lines are 4,107 of them.
        ("online-retail/online_retail.parquet", 172_782, 3_645),
        ("coat", 6_960, 300),
        ("coat/test.ascii", 4_640, 300),
        ("open-bandit-small/obd/bts/men", 10_000, 34),
    ],
)
def test_the_real_sets(lightrec_data, path, events, items):
    tables = find_reader(lightrec_data / path).read(lightrec_data / path)
    assert (len(tables.log), len(tables.catalog.rows)) == (events, items)
