"""Sets of known files: read by folder and by file, and refused where they differ."""

import pytest
from lightrec_formats.published import PublishedReader
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
