"""CSV and Parquet logs: columns named or recognised, errors with file, line and column."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from lightrec.data.readers.table import TableReader, read_catalog, read_users
from lightrec.errors import DataError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header",
    ["user_id,item_id,rating,timestamp", "userId,movieId,Rating,TS", "UID,Product ID,stars,date"],
)
def test_common_names_are_recognised(header: str, tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", f"{header}\n1,2,3.5,1714559400\n1,3,,1714559401\n")
    assert TableReader.recognises(path)
    tables = TableReader().read(path)
    assert tables.ignored == ()
    assert tables.log.events["user"].to_list() == ["1", "1"]
    assert tables.log.events["item"].to_list() == ["2", "3"]
    assert tables.log.events["value"].to_list() == [3.5, None]
    assert tables.log.events["feedback"].to_list() == ["rating", "implicit"]
    assert tables.log.events["time"].dt.year().to_list() == [2024, 2024]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "who,what,item,price\na,x,1,2\n")
    tables = TableReader().read(path, {"user": "who", "item": "what", "value": "price"})
    assert tables.log.events.row(0)[:2] == ("a", "x")
    assert tables.log.events["value"][0] == 2.0
    assert tables.ignored == ("item",)


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_separators_are_recognised(separator: str, tmp_path: Path) -> None:
    text = "user,item,value\na,x,1\n".replace(",", separator)
    assert TableReader().read(write(tmp_path / "log.csv", text)).log.events["item"][0] == "x"


def test_gzip_quotes_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress('\ufeff"user","item"\r\n"a, b","x"\r\n'.encode()))
    assert TableReader.recognises(path)
    assert TableReader().read(path).log.events.row(0)[:2] == ("a, b", "x")


def test_every_column_from_text(tmp_path: Path) -> None:
    header = "user,item,time,feedback,value,count,session,impression,position,propensity,candidates"
    path = write(tmp_path / "log.csv", f"{header}\na,,2024-05-01,view,1,2,s,i,3,.5,x|y z\n")
    log = TableReader().read(path).log
    assert log.events.drop("time").row(0) == (
        *("a", None, "view", 1.0, 2, "s", "i", 3, 0.5),
        ["x", "y z"],
    )


def test_a_logged_bandit(tmp_path: Path) -> None:
    """The columns of the Open Bandit Dataset."""
    header = ",timestamp,item_id,position,click,propensity_score,user_feature_0"
    row = "0,2019-11-24 00:00:04.101306+00:00,28,2,0,0.0294117647,81ce123cbb5bd8ce818f60fb3586bba5"
    tables = TableReader().read(write(tmp_path / "men.csv", f"{header}\n{row}\n"))
    assert tables.ignored == ("", "user_feature_0")
    event = tables.log.events.row(0, named=True)
    assert (event["user"], event["item"], event["position"]) == (None, "28", 2)
    assert (event["feedback"], event["value"]) == ("click", 0.0)
    assert event["propensity"] == 0.0294117647
    assert event["time"].microsecond == 101_000


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        {"uid": [1], "asin": [2], "ts": [1714559400], "candidates": [[2, 3]], "other": [0]}
    ).write_parquet(path)
    tables = TableReader().read(path)
    assert tables.ignored == ("other",)
    assert tables.log.events["candidates"].to_list() == [["2", "3"]]
    assert tables.log.events["time"].dt.year()[0] == 2024


def test_item_and_user_tables(tmp_path: Path) -> None:
    items = write(tmp_path / "items.csv", "id,name,text,year\n1,One,,1995\n2,,Two,\n")
    assert read_catalog(items).items.rows() == [
        ("1", "One", None, "1995"),
        ("2", None, "Two", None),
    ]
    users = write(tmp_path / "users.csv", "age,user_id\n20,a\n")
    assert read_users(users).users.rows() == [("a", "20")]
    with pytest.raises(DataError, match="Line 3 has no item"):
        read_catalog(items, {"item": "name"})


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["The file is empty; its first line must name the columns."]),
        ("user,item\n", ["There are no events."]),
        (
            "who,what\na,x\n",
            [
                "No column was recognised as item; there are 'who', 'what'. Say which one it is, "
                "for example columns={'item': 'who'}."
            ],
        ),
        ("item,item\n1,2\n", ["The column 'item' is there 2 times; give each column a name"]),
        (
            "user,item,value,time\na,x,1,1714559400\nb,x,good,soon\nc,,1,1714559400\n",
            [
                "Line 3, column 'time': 'soon' is not a point in time",
                "Line 3, column 'value': 'good' is not a number.",
            ],
        ),
        ("user,item\na,x\nb,\n", ["Line 3 has no item and no candidates"]),
        (
            "user,item\na,x\nb,x,y\nc,x,y,z\n",
            ["Line 3 has 3 fields where the header has 2", "Line 4"],
        ),
    ],
)
def test_problems_are_named(text: str, problems: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", text)
    with pytest.raises(DataError) as raised:
        TableReader().read(path)
    assert len(raised.value.problems) == len(problems)
    for found, expected in zip(str(raised.value).splitlines(), problems, strict=True):
        assert found.startswith(f"{path}: {expected}")


def test_named_columns_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,item\na,x\n")
    with pytest.raises(DataError) as raised:
        TableReader().read(path, {"item": "sku", "price": "item"})
    assert raised.value.problems == [
        "There is no column 'sku' (named as item); there are 'user', 'item'.",
        "'price' is none of the columns user, item, time, feedback, value, count, session, "
        "impression, position, propensity, candidates.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", "user,item\nzoë,x\n".encode("latin-1"), "not UTF-8 text"),
        ("log.csv.gz", b"user,item\n", "not UTF-8 text|cannot be read"),
        ("log.parquet", b"user,item\n", "cannot be read as Parquet"),
    ],
)
def test_broken_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        TableReader().read(tmp_path / name)


def test_missing_files(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        assert not TableReader.recognises(tmp_path / name)
        with pytest.raises(DataError, match="does not exist"):
            TableReader().read(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="This is a folder"):
        TableReader().read(tmp_path / "folder.csv")


def test_short_and_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,item,value\na,x,1\nb,x\n\n\n")
    assert TableReader().read(path).log.events["value"].to_list() == [1.0, None]
    write(path, "user,item,value\na,x,1\n\nb,x,2\n")
    with pytest.raises(DataError, match="Line 3 has no item"):
        TableReader().read(path)
