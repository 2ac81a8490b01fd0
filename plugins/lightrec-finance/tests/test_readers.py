"""Disclosed trades: by hand, broken, and the real file."""

import polars as pl
import pytest
from lightrec_finance.readers import HouseReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.errors import DataError

HEAD = (
    "disclosure_year,disclosure_date,transaction_date,owner,ticker,asset_description,type,amount,"
    "representative,cap_gains_over_200_usd\n"
)
FILE = "all_transactions.csv"


def line(day="08/01/2021", traded="2021-07-30", ticker="AA", kind="purchase", who="R1", what="A"):
    return f'2021,{day},{traded},joint,{ticker},{what},{kind},"$1,001 - $15,000",{who},False\n'


SMALL = (
    line("10/04/2021", "2021-09-27"),
    line("10/04/2021", "2021-09-13", "BB", "sale_full", what="Beta"),
    line("09/01/2021", "2021-08-02", "BB", "sale_partial", what="Beta"),
    line("09/01/2021", "2021-08-02", "--"),
    line(kind="exchange", who="R2"),
)


@pytest.fixture
def small(tmp_path):
    for name in ("trades", "sp500-companies"):
        (tmp_path / name).mkdir()
    (tmp_path / "trades" / FILE).write_text(HEAD + "".join(SMALL))
    names = "Symbol,Security,GICS Sector,GICS Sub-Industry\nBB,Beta Group,Energy,Oil\n"
    (tmp_path / "sp500-companies" / "constituents.csv").write_text(names)
    return tmp_path / "trades"


def test_trades_are_in_the_order_of_what_was_known(small, capsys):
    check_all(ReaderChecks(HouseReader, small))
    tables = HouseReader().read(small)
    assert "1 of 5 trades name no ticker, and are left out." in capsys.readouterr().err
    days = tables.log.events["time"].dt.to_string("%F")
    assert tables.log.events.select("user", "item", "feedback", days).rows() == [
        ("R2", "AA", "exchange", "2021-08-01"),
        ("R1", "BB", "sale", "2021-09-01"),
        ("R1", "BB", "sale", "2021-10-04"),
        ("R1", "AA", "purchase", "2021-10-04"),
    ]
    assert tables.catalog.rows.rows() == [
        ("AA", "A", None, None, None),
        ("BB", "Beta Group", None, "Energy", "Oil"),
    ]


@pytest.mark.parametrize("traded", ["0009-06-09", "20222-08-09", "2021-11-30", "soon"])
def test_a_day_that_cannot_be_is_named_or_dropped(small, traded):
    (small / FILE).write_text(HEAD + 3 * line() + line("10/04/2021", traded))
    with pytest.raises(DataError) as raised:
        HouseReader().read_log(small)
    (problem,) = raised.value.problems
    assert problem.startswith(f"Line 5, column 'disclosure_date': '10/04/2021 (traded {traded})'")
    assert "--skip-broken" in problem
    reader = HouseReader()
    reader.skip = small / "broken.csv"
    assert len(reader.read_log(small)) == 3


def test_the_real_file(lightrec_data, tmp_path):
    reader = HouseReader()
    reader.skip = tmp_path / "broken.csv"
    tables = reader.read(lightrec_data / "house-stock-watcher")
    kinds = dict(tables.log.events["feedback"].value_counts().iter_rows())
    # Left out are seven broken dates, and twelve trades that would be later than their disclosure.
    assert kinds == {"purchase": 7500 - 7, "sale": 6772 - 11, "exchange": 107 - 1}
    assert len(pl.read_csv(reader.skip)) == 19
    rows = tables.catalog.rows
    assert rows["text"].is_not_null().sum() == 450
    assert rows.filter(item="XOM").select("title", "sector").row(0) == ("ExxonMobil", "Energy")
