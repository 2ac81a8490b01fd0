"""Disclosed trades: by hand, broken, and the real file."""

import pytest
from lightrec_finance.readers import HouseReader

from lightrec.data.times import Times
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all

HEAD = (
    "disclosure_year,disclosure_date,transaction_date,owner,ticker,asset_description,type,amount,"
    "representative,cap_gains_over_200_usd\n"
)


def line(known, traded, ticker="AA", kind="purchase", person="R1", what="Alpha Inc."):
    return f'2021,{known},{traded},joint,{ticker},{what},{kind},"$1,001 - $15,000",{person},False\n'


def write(folder, *lines):
    path = folder / "all_transactions.csv"
    path.write_text(HEAD + "".join(lines))
    return path


@pytest.fixture
def small(tmp_path):
    trades, beside = tmp_path / "trades", tmp_path / "sp500-companies"
    trades.mkdir()
    beside.mkdir()
    write(
        trades,
        line("10/04/2021", "2021-09-27"),
        line("10/04/2021", "2021-09-13", "BB", "sale_full", what="Beta"),
        line("09/01/2021", "2021-08-02", "BB", "sale_partial", what="Beta"),
        line("09/01/2021", "2021-08-02", "--"),
        line("08/01/2021", "2021-07-30", "AA", "exchange", "R2", "Alpha"),
    )
    names = "Symbol,Security,GICS Sector,GICS Sub-Industry\nBB,Beta Group,Energy,Oil\n"
    (beside / "constituents.csv").write_text(names)
    return trades


def test_trades_are_in_the_order_of_what_was_known(small, capsys):
    tables = HouseReader().read(small)
    assert tables.log.events.select("user", "item", "feedback").rows() == [
        ("R2", "AA", "exchange"),
        ("R1", "BB", "sale"),
        ("R1", "BB", "sale"),
        ("R1", "AA", "purchase"),
    ]
    assert [str(t.date()) for t in tables.log.events["time"]] == [
        "2021-08-01", "2021-09-01", "2021-10-04", "2021-10-04",
    ]  # fmt: skip
    assert "1 of 5 trades name no ticker, and are left out." in capsys.readouterr().err
    assert tables.catalog.rows.rows() == [
        ("AA", "Alpha", None, None, None),
        ("BB", "Beta Group", None, "Energy", "Oil"),
    ]


def test_the_contract(small, tmp_path):
    check_all(ReaderChecks(HouseReader, small))
    check_all(ReaderChecks(HouseReader, small / "all_transactions.csv"))
    (tmp_path / "all_transactions.csv").write_text("user,item\n1,2\n")
    assert not HouseReader.recognises(tmp_path)


@pytest.mark.parametrize("traded", ["0009-06-09", "20222-08-09", "2021-11-30", "soon"])
def test_a_day_that_cannot_be_is_named_or_dropped(tmp_path, traded):
    good = [line("08/01/2021", "2021-07-30")] * 3
    path = write(tmp_path, *good, line("10/04/2021", traded))
    with pytest.raises(DataError) as raised:
        HouseReader().read_log(path)
    (problem,) = raised.value.problems
    assert problem.startswith(f"Line 5, column 'disclosure_date': '10/04/2021 (traded {traded})'")
    assert "--drop-unreadable-times" in problem
    assert HouseReader(Times(drop=True)).read_log(path).events["time"].null_count() == 1


def test_what_is_broken_is_named(tmp_path):
    path = write(tmp_path, line("08/01/2021", "2021-07-30", kind="gift"))
    with pytest.raises(DataError, match="column 'type': 'gift' is not one of purchase"):
        HouseReader().read_log(path)
    path.write_text(
        "disclosure_year,disclosure_date,transaction_date\n2021,08/01/2021,2021-07-30\n"
    )
    with pytest.raises(DataError, match="There is no column 'ticker'"):
        HouseReader().read_log(path)


def test_the_real_file(lightrec_data):
    tables = HouseReader(Times(drop=True)).read(lightrec_data / "house-stock-watcher")
    kinds = dict(tables.log.events["feedback"].value_counts().iter_rows())
    assert kinds == {"purchase": 7500, "sale": 6772, "exchange": 107}
    # Seven broken dates, and twelve trades that would be later than their disclosure.
    assert tables.log.events["time"].null_count() == 19
    rows = tables.catalog.rows
    assert rows["text"].is_not_null().sum() == 450
    assert rows.filter(item="XOM").select("title", "sector").row(0) == ("ExxonMobil", "Energy")
