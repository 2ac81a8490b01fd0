"""RecBole's atomic files by folder, by file and by prefix."""

import os
from pathlib import Path

import pytest
from lightrec_formats.recbole import RecBoleReader

from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti2\t4\t1714559400\n"
ITEM = 'item_id:token\ttitle:token_seq\tprice:float\ni2\tThe "Two"\t1.5\n'
USER = "user_id:token\tage:token\nu1\t24\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for ending, text in (("inter", INTER), ("item", ITEM), ("user", USER)):
        (tmp_path / f"shop.{ending}").write_text(text)
    return tmp_path


def test_the_contract_of_readers(folder: Path) -> None:
    check_all(ReaderChecks(RecBoleReader, folder))


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
    (folder / "shop.item").unlink()
    (folder / "shop.user").unlink()
    tables = RecBoleReader().read(path)
    assert (tables.catalog, tables.users) == (None, None)


def test_what_is_not_its_own(folder: Path) -> None:
    assert not RecBoleReader.recognises(folder / "other")
    assert not RecBoleReader.recognises(folder / "shop.item")
    (folder / "second.inter").write_text(INTER)
    assert not RecBoleReader.recognises(folder)
    with pytest.raises(DataError, match=r"There are 2 \.inter files"):
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
    assert (len(tables.catalog or ()), len(tables.users or ())) == (1682, 943)
    assert str(tables.log.events["time"].max()) == "1998-04-22 23:10:38+00:00"
    how = {"domain": Domain(), "catalog": tables.catalog, "users": tables.users, "seed": 0}
    store = prepare(tables.log, tmp_path / "whole", k_core=5, **how)
    assert (store.num_users, store.num_items, len(store)) == (943, 1349, 99_287)
    assert store.meta["counts"]["dropped_k_core"] == 713
    assert (store.item_kinds["class"], store.user_kinds["zip_code"]) == ("list", "category")
