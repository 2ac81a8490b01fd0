"""Databases by their URLs: what is read, refused and never shown."""

import sqlite3
from pathlib import Path

import polars as pl
import pytest
from lightrec_formats.sql import SqlTable

from lightrec.__main__ import main
from lightrec.data.readers.base import read_tables
from lightrec.errors import DataError

sqlalchemy = pytest.importorskip("sqlalchemy")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_databases(kind, tmp_path):
    if kind == "duckdb":
        pytest.importorskip("duckdb_sqlalchemy")
    url = f"{kind}:///{tmp_path / 'shop.db'}"
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE orders (customer TEXT, sku TEXT)"))
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES ('a', 'x')"))
    sqlalchemy.create_engine(url).dispose()
    for query in ("orders", "SELECT customer, sku FROM orders"):
        log = read_tables(Path(f"{url}#{query}")).log
        assert log.events.select("user", "item").rows() == [("a", "x")]
        assert log.place.form == f"SQL, {kind}"
    for wrong, sentence in (("", "No table is named; there are orders."), ("#x", "no table 'x'")):
        with pytest.raises(DataError, match=sentence):
            read_tables(Path(url + wrong))
    with pytest.raises(DataError, match="The file does not exist"):
        read_tables(Path(f"{kind}:///none.db#orders"))


def test_what_is_recognised_is_printed_first_and_a_refused_database_leaves_nothing(
    tmp_path, capsys
):
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (customer TEXT, sku TEXT, event TEXT)")
        shop.execute("INSERT INTO orders VALUES ('a', 'x', 'buy'), ('a', 'x', 'return')")
    url, out = f"sqlite:///{tmp_path / 'shop.db'}#orders", tmp_path / "runs" / "shop"
    assert main(["run", "generic", "--log", url, "--out", str(out), "--goal", "by"]) == 2
    refusal = capsys.readouterr().err
    assert "feedback      buy 1, return 1" in refusal
    assert "Did you mean 'buy'?" in refusal
    assert not out.parent.exists()


def test_the_slashes_of_a_query_are_its_own(tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (customer TEXT, sku TEXT)")
        shop.execute("INSERT INTO orders VALUES ('http://u1/./', 'i'), ('http://u2/./', 'i')")
    query = "SELECT * FROM orders WHERE customer = 'http://u1/./' --// ends here/"
    url, out = f"sqlite:///{tmp_path / 'shop.db'}#{query}", tmp_path / "out"
    assert main(["data", "convert", url, str(out)]) == 0
    assert pl.read_parquet(out / "log.parquet")[:, 0].to_list() == ["http://u1/./"]


@pytest.mark.parametrize("password", ["s%40cret", "s@cret"])
def test_what_a_database_says_of_its_address_holds_no_secret(password, monkeypatch):
    def refuse(url):
        raise ValueError(f"no connection with {password} to {url}")

    monkeypatch.setattr("sqlalchemy.create_engine", refuse)
    with pytest.raises(DataError, match=r"connection with \*\*\* to postgresql\+psycopg2://h") as e:
        SqlTable("postgresql+psycopg2://h/db?password=s%40cret#t")
    assert "cret" not in str(e.value)
