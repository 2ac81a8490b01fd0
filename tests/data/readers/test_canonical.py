"""A folder of canonical Parquet files reads back as it was written."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import CanonicalReader, write_tables
from lightrec.errors import DataError


def test_round_trip(tmp_path: Path) -> None:
    assert not CanonicalReader.recognises(tmp_path)
    log = InteractionLog(pl.DataFrame({"item": ["x", "y"], "propensity": [0.5, 0.25]}))
    write_tables(Tables(log), tmp_path)
    assert CanonicalReader.recognises(tmp_path)
    tables = CanonicalReader().read(tmp_path)
    assert_frame_equal(tables.log.events, log.events)
    assert tables.catalog is None
    assert tables.users is None
    catalog = Catalog(pl.DataFrame({"item": ["x"]}))
    users = Users(pl.DataFrame({"user": ["a"]}))
    write_tables(Tables(log, catalog, users), tmp_path)
    tables = CanonicalReader().read(tmp_path)
    assert tables.catalog is not None
    assert tables.users is not None
    assert_frame_equal(tables.catalog.rows, catalog.rows)
    assert_frame_equal(tables.users.rows, users.rows)
    with pytest.raises(DataError, match="cannot be named otherwise"):
        CanonicalReader().read(tmp_path, {"item": "sku"})
