"""Object stores: what lies there is read as it is on disk."""

import fsspec
import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.data.files import located
from lightrec.data.readers.base import read_table, read_tables
from lightrec.errors import DataError

EVENTS = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [1, 2, 3]})


@pytest.fixture
def bucket():
    """A folder of two Parquet files and a compressed table of items, in memory."""
    store = fsspec.filesystem("memory")
    for day, rows in (("day=1", EVENTS[:2]), ("day=2", EVENTS[2:])):
        with store.open(f"/shop/log/{day}/part.parquet", "wb") as file:
            rows.write_parquet(file)
    with store.open("/shop/items.csv.gz", "wb", compression="gzip") as file:
        file.write(b"item,title\nx,Tea\ny,Rope\n")
    yield "memory://shop"
    store.rm("/shop", recursive=True)


def test_what_lies_there_is_read_as_on_disk(bucket):
    log = read_tables(located(f"{bucket}/log/")).log
    assert log.events.select("user", "item").cast(pl.String).rows() == EVENTS[:, :2].rows()
    items = read_table(located(f"{bucket}/items.csv.gz"), "item")
    assert items.rows["title"].to_list() == ["Tea", "Rope"]
    with pytest.raises(DataError, match=r"cannot be fetched .*Look at the address"):
        read_tables(located(f"{bucket}/none.csv"))


def test_a_run_keeps_what_it_fetched_and_notices_that_it_changed(bucket, tmp_path, capsys):
    line = ["run", "generic", "--log", f"{bucket}/log", "--items", f"{bucket}/items.csv.gz"]
    line += ["--until", "data", "--data.k_core", "1", "--out", str(tmp_path / "run")]
    assert main(line) == main(line) == 0
    assert {p.name for p in (tmp_path / "run/sources").iterdir()} == {"log", "items.csv.gz"}
    assert "up to date" in capsys.readouterr().err
    fsspec.filesystem("memory").rm("/shop/log/day=2", recursive=True)
    assert main(line) == 0
    assert "2 of 2 events read are used: 1 user" in capsys.readouterr().err
