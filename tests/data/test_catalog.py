"""Item and user tables: unique ids, attributes kept, round trips."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lightrec.data.catalog import Catalog, Users
from lightrec.errors import DataError


def test_catalog_round_trip(tmp_path):
    catalog = Catalog(pl.DataFrame({"year": [1995, 1996], "item": [1, 2], "tags": [["a"], None]}))
    assert catalog.rows.columns == ["item", "title", "text", "year", "tags"]
    assert catalog.rows["item"].to_list() == ["1", "2"]
    catalog.write_parquet(tmp_path / "catalog.parquet")
    assert_frame_equal(Catalog.read_parquet(tmp_path / "catalog.parquet").rows, catalog.rows)


def test_all_problems_at_once():
    with pytest.raises(DataError) as raised:
        Catalog(pl.DataFrame({"item": ["x", "y", None, "x"]}))
    problems = ["Row 3 has no item.", "Row 4: item 'x' is in an earlier row too."]
    assert str(raised.value).splitlines() == problems
    with pytest.raises(DataError, match="The users table has no column 'user'; it has id, age"):
        Users(pl.DataFrame({"id": ["x"], "age": [1]}))


@pytest.mark.parametrize("kinds", ["{", "[]", "[" * 5000, '{"year": 5}', '{"year": "no kind"}'])
def test_damaged_metadata_of_a_table_is_told(kinds, tmp_path):
    rows = pl.DataFrame({"item": ["a"], "title": ["A"], "year": [1990]})
    facts = {"schema_version": "1", "table": "catalog", "kinds": kinds}
    metadata = {f"lightrec.{name}": fact for name, fact in facts.items()}
    rows.write_parquet(tmp_path / "catalog.parquet", metadata=metadata)
    with pytest.raises(DataError, match="are no kinds of attributes"):
        Catalog.read_parquet(tmp_path / "catalog.parquet")
