"""Sets of known files, Jester's, and RecBole's atomic files: read by folder and by file."""

import pytest
from lightrec_formats.jester import JesterReader
from lightrec_formats.published import PublishedReader
from lightrec_formats.recbole import RecBoleReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.catalog import Catalog
from lightrec.errors import DataError


class Shop(PublishedReader):
    """Sales of a shop, with its goods beside where they are known."""

    name = "shop"
    file = "sales.csv"
    known_by = frozenset({"buyer", "good"})

    def events(self, file):
        return self.log(file, {"user": "buyer", "item": "good"})

    def items(self, file):
        if (goods := self.beside(file, "goods.csv")) is None:
            return None
        rows, place = self.table(goods, {"item": "number", "title": "2"})
        return Catalog(rows, place=place)


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "sales.csv").write_text('buyer,"good",extra\na,x,1\nb,x,2\n')
    (tmp_path / "goods.csv").write_text("number,word\nx,Lamp\n")
    return tmp_path


def test_folder_and_file_are_read(shop):
    for path in (shop, shop / "sales.csv"):
        check_all(ReaderChecks(Shop, path))
        tables = Shop().read(path)
        assert tables.log.events.select("user", "item").rows() == [("a", "x"), ("b", "x")]
        assert tables.catalog.rows.select("item", "title").rows() == [("x", "Lamp")]
        assert tables.users is None


def test_columns_are_those_of_the_set(shop):
    (shop / "goods.csv").write_text("id,word\nx,y\n")
    with pytest.raises(DataError, match=r"no column 'number' \(named as item\)"):
        Shop().read(shop)
    with pytest.raises(DataError, match="columns of the format 'shop' are fixed"):
        Shop().read(shop, {"item": "good"})


LONG = "1\t\t5\t\t0.219\n1\t\t7\t\t-9.281\n2\t\t5\t\t99.5\n"
JOKES = """7:
<p>
Q. What&#039;s &quot;up&quot;?<br />
A. 10:
</p>

5:
<p>No.</p>
"""
WIDE = "2,-7.82,99.00,3.5\n1,99.00,99.00,-0.05\n"


def test_ratings_one_by_one(tmp_path):
    file = tmp_path / "jester_ratings.dat"
    file.write_text(LONG)
    (tmp_path / "jester_items.dat").write_text(JOKES)
    for path in (tmp_path, file):
        check_all(ReaderChecks(JesterReader, path))
        tables = JesterReader().read(path)
    events = tables.log.events.select("user", "item", "value", "feedback").rows()
    assert events[:2] == [("1", "5", 0.219, "rating"), ("1", "7", -9.281, "rating")]
    words = [("7", 'Q. What\'s "up"? A. 10:'), ("5", "No.")]
    assert tables.catalog.rows.select("item", "text").rows() == words


def test_a_table_of_people_and_jokes(tmp_path):
    file = tmp_path / "jester-data-1.csv"
    file.write_text(WIDE)
    check_all(ReaderChecks(JesterReader, file))
    log = JesterReader().read(file).log
    events = log.events.select("user", "item", "value").rows()
    assert events == [("1", "1", pytest.approx(-7.82)), ("1", "3", 3.5), ("2", "3", -0.05)]
    file.write_text(WIDE + "1,99.00,funny,99\n")
    with pytest.raises(DataError, match=r"Line 3.*'funny'"):
        JesterReader().read(file)


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
