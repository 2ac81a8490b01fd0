"""RecBole's atomic files by folder, by file and by prefix."""

import pytest
from lightrec_formats.recbole import RecBoleReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.errors import DataError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti2\t4\t1714559400\n"
ITEM = 'item_id:token\ttitle:token_seq\tprice:float\ni2\tThe "Two"\t1.5\n'
USER = "user_id:token\tage:token\nu1\t24\n"


@pytest.fixture
def folder(tmp_path):
    for ending, text in (("inter", INTER), ("item", ITEM), ("user", USER)):
        (tmp_path / f"shop.{ending}").write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["", "shop", "shop.inter"])
def test_all_ways_to_name_it(folder, name):
    path = folder / name
    if not name:
        check_all(ReaderChecks(RecBoleReader, folder))
    assert RecBoleReader.recognises(path)
    tables = RecBoleReader().read(path)
    assert tables.log.events["value"].to_list() == [4.0]
    assert tables.log.events["time"].dt.year().to_list() == [2024]
    assert tables.catalog.rows.rows() == [("i2", 'The "Two"', None, 1.5)]
    assert tables.users.rows.rows() == [("u1", 24)]


def test_what_is_not_its_own(folder):
    assert not RecBoleReader.recognises(folder / "other")
    assert not RecBoleReader.recognises(folder / "shop.item")
    (folder / "second.inter").write_text(INTER)
    assert not RecBoleReader.recognises(folder)
    with pytest.raises(DataError, match=r"There are 2 \.inter files"):
        RecBoleReader().read(folder)


def test_the_problems_of_all_files_come_together(folder):
    (folder / "shop.inter").write_text(INTER + "u1\ti3\n")
    (folder / "shop.item").write_text(ITEM + "i3\tname\tcheap\n")
    with pytest.raises(DataError) as raised:
        RecBoleReader().read(folder)
    log, items = str(raised.value).splitlines()
    assert "shop.inter: Line 3 has 2 fields where 4 are expected" in log
    assert "shop.item: Line 3, column 'price': 'cheap' is not a number." in items


def test_movielens_100k(lightrec_data):
    tables = RecBoleReader().read(lightrec_data / "ml-100k")
    assert (len(tables.log), len(tables.catalog), len(tables.users)) == (100_000, 1682, 943)
    assert str(tables.log.events["time"].max()) == "1998-04-22 23:10:38+00:00"
    assert (tables.catalog.kinds["class"], tables.users.kinds["zip_code"]) == ("list", "category")
