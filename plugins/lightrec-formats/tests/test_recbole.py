"""RecBole's atomic files by folder, by file and by prefix."""

import os
from pathlib import Path

import numpy as np
import pytest
from lightrec_formats.recbole import RecBoleReader

from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.data.store import TRAIN
from lightrec.errors import DataError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti2\t4\t1714559400\n"
ITEM = 'item_id:token\ttitle:token_seq\tprice:float\ni2\tThe "Two"\t1.5\n'
USER = "user_id:token\tage:token\nu1\t24\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for ending, text in (("inter", INTER), ("item", ITEM), ("user", USER)):
        (tmp_path / f"shop.{ending}").write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["", "shop", "shop.inter"])
def test_all_ways_to_name_it(folder: Path, name: str) -> None:
    path = folder / name
    assert RecBoleReader.recognises(path)
    tables = RecBoleReader().read(path)
    assert tables.log.events["value"].to_list() == [4.0]
    assert tables.log.events["time"].dt.year().to_list() == [2024]
    assert tables.catalog is not None
    assert tables.catalog.rows.rows() == [("i2", 'The "Two"', None, 1.5)]
    assert tables.users is not None
    assert tables.users.rows.rows() == [("u1", 24)]


def test_tables_are_optional(folder: Path) -> None:
    (folder / "shop.item").unlink()
    (folder / "shop.user").unlink()
    tables = RecBoleReader().read(folder)
    assert tables.catalog is None
    assert tables.users is None


def test_what_is_not_its_own(folder: Path) -> None:
    assert not RecBoleReader.recognises(folder / "other")
    assert not RecBoleReader.recognises(folder / "shop.item")
    (folder / "second.inter").write_text(INTER)
    assert not RecBoleReader.recognises(folder)
    with pytest.raises(DataError, match=r"There are 2 \.inter files"):
        RecBoleReader().read(folder)


def test_bad_numbers_are_named(folder: Path) -> None:
    (folder / "shop.inter").write_text(INTER + "u1\ti3\tfour\t1714559400\n")
    with pytest.raises(DataError, match="inter: Line 3, column 'rating': 'four' is not a number"):
        RecBoleReader().read(folder)


def test_the_problems_of_all_files_come_together(folder: Path) -> None:
    (folder / "shop.inter").write_text(INTER + "u1\ti3\n")
    (folder / "shop.item").write_text(ITEM + "i3\tname\tcheap\n")
    (folder / "shop.user").write_text("user_id:token\tage:token\n")
    with pytest.raises(DataError) as raised:
        RecBoleReader().read(folder)
    found = str(raised.value).splitlines()
    assert [line.removeprefix(f"{folder}/shop").partition(" ")[0] for line in found] == [
        *(".inter:", ".item:", ".user:")
    ]
    assert "Line 3 has 2 fields where 4 are expected" in found[0]
    assert "Line 3, column 'price': 'cheap' is not a number." in found[1]
    assert "There are no rows" in found[2]


def test_movielens_100k(tmp_path: Path) -> None:
    data = os.environ.get("LIGHTREC_TEST_DATA")
    if not data:
        pytest.skip("LIGHTREC_TEST_DATA is not set")
    tables = RecBoleReader().read(Path(data) / "ml-100k")
    assert len(tables.log) == 100_000
    assert tables.catalog is not None
    assert len(tables.catalog) == 1682
    assert tables.users is not None
    assert len(tables.users) == 943
    times = tables.log.events["time"]
    assert str(times.min()) == "1997-09-20 03:05:10+00:00"
    assert str(times.max()) == "1998-04-22 23:10:38+00:00"
    how = {"domain": Domain(), "catalog": tables.catalog, "users": tables.users, "seed": 0}
    store = prepare(tables.log, tmp_path / "whole", k_core=5, **how)
    assert (store.num_users, store.num_items, len(store)) == (943, 1349, 99_287)
    counts = store.meta["counts"]
    assert (counts["train"], counts["validation"], counts["test"]) == (97_401, 943, 943)
    assert (counts["dropped_k_core"], counts["dropped_repeated"]) == (713, 0)
    assert counts["items_without_text"] == 0
    assert store.catalog["title"][0] == "Toy Story"
    assert store.users["age"][0] == 24
    assert (store.item_kinds["class"], store.user_kinds["zip_code"]) == ("list", "category")
    assert store.catalog["class"][0].to_list() == ["Animation", "Children's", "Comedy"]
    how = {"domain": Domain(), "minimum_value": 4, "split": "global-time", "k_core": 5, "seed": 0}
    store = prepare(tables.log, tmp_path / "late", **how)
    assert store.meta["counts"]["dropped_below_minimum"] == 100_000 - 55_375
    assert store.meta["counts"]["users_without_train"] == 182
    train = np.asarray(store.parts) == TRAIN
    assert store.times[train].max() < store.times[~train].min()
