"""Online Retail's log of a shop, hand-written and real."""

import pytest
from lightrec_ecommerce.readers import ShopSets
from lightrec_formats.described import described, write_example

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("PEN,2", "PEN,two", "Line 5, column 'count': 'two' is not"),
        ("12/15/2010", "soon", "Line 5, column 'time': 'soon"),
        ("InvoiceDate,UnitPrice", "InvoiceDate,Euros", "'online-retail' was published"),
    ],
)
def test_problems_are_named(tmp_path, good, bad, message):
    file = write_example(described(ShopSets.descriptions)["online-retail"], tmp_path)
    file.write_text(file.read_text().replace(good, bad))
    with pytest.raises(DataError, match=message) as problem:
        find_reader(file).read(file)
    assert "retail.csv" in str(problem.value)


def test_the_real_set(lightrec_data):
    path = lightrec_data / "online-retail" / "online_retail.parquet"
    tables = find_reader(path).read(path)
    # The set's own count of lines with a customer; returned lines are 4,107 of them.
    assert (len(tables.log), len(tables.catalog.rows)) == (172_782, 3_645)
