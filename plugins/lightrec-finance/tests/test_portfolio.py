"""Prices, volatility, drawdown, turnover and what becomes of decisions, against closed forms."""

import numpy as np
import pytest
from lightrec_finance.portfolio import drawdown, follow, volatility
from lightrec_finance.prices import Prices

from lightrec.errors import DataError

DAYS = np.arange("2024-01-01", "2024-01-08", dtype="datetime64[D]")


def prices(*columns):
    return Prices(DAYS, tuple("ABCDEF"[: len(columns)]), np.array(columns, float).T)


def decided(*portfolios):
    return {DAYS[2 * place]: np.array([shares]) for place, shares in enumerate(portfolios)}


def test_volatility_of_an_alternating_return():
    """n returns of ± r have the sample variance r² n / (n − 1)."""
    returns = np.array([0.01, -0.01] * 50)
    assert volatility(returns) == pytest.approx(0.01 * (100 / 99) ** 0.5 * 252**0.5, rel=1e-12)
    assert volatility(np.full(9, 0.02)) == pytest.approx(0, abs=1e-12)
    assert volatility(returns, 12) == pytest.approx(volatility(returns) * (12 / 252) ** 0.5)


def test_drawdown_is_from_the_last_high():
    assert drawdown(np.array([1.0, 2.0, 1.5, 3.0, 1.2, 2.0])) == pytest.approx(0.6)
    assert drawdown(np.array([1.0, 1.1, 1.2])) == 0
    many = np.random.default_rng(0).lognormal(size=(40, 3))
    pairs = [
        max(1 - many[j, c] / many[i, c] for i in range(40) for j in range(i, 40)) for c in range(3)
    ]
    assert drawdown(many) == pytest.approx(pairs)


def test_shares_drift_and_are_put_back():
    """Two products, one doubling each day: computed by hand."""
    quotes = prices([1, 1, 2, 4, 8, 8, 8], [1] * 7)
    course = follow(decided([0.5, 0.5], [0.5, 0.5]), quotes, cost=0.01)
    # Bought on day 1 for 0.99; on day 3 product A is worth 4/5 of what there is, and 0.6 is traded.
    after = 0.99 * (0.5 * 4 + 0.5) * (1 - 0.01 * 0.6)
    assert course.days[0] == DAYS[1]
    expected = [0.99, 0.99 * 1.5, after, after * 1.5, after * 1.5, after * 1.5]
    assert course.values[:, 0] == pytest.approx(expected)
    # The first trade costs 1 %, and the second 0.6 % of a rise.
    expected = {"turnover": 1.6, "return": after * 1.5 - 1, "drawdown": 0.01}
    figures = course.figures()
    assert {name: figures[name].item() for name in expected} == pytest.approx(expected)


def test_cash_and_products_that_are_not_quoted():
    course = follow(decided([0.25, 0]), prices([1, 2, 4, np.nan, 4, 4, 4], [np.nan] * 7), cost=0)
    assert course.values[:, 0] == pytest.approx([1, 1.25, 1.25, 1.25, 1.25, 1.25])
    with pytest.raises(ValueError, match="without a price"):
        follow(decided([0, 1]), prices([1] * 7, [np.nan] * 7), 0)
    with pytest.raises(ValueError, match="no trading day after"):
        follow(decided([1], [1], [1], [1]), prices([1] * 7), 0)


def test_a_decision_is_not_carried_out_at_its_own_prices():
    """Whatever happens until the evening after the decision earns nothing."""
    bought = {DAYS[2]: np.array([[1.0]])}
    calm, jump = (follow(bought, prices(quotes), 0) for quotes in ([1] * 7, [1] * 3 + [9] * 4))
    assert np.array_equal(calm.values, jump.values)


def test_tables_are_joined_by_day_and_the_first_counts(tmp_path):
    one, two = (tmp_path / name for name in ("one.csv", "two.csv"))
    one.write_text("Date,A,B\n2024-01-02,1,5\n2024-01-04,,6\n")
    two.write_text("date,B,C\n2024-01-03,9,2\n2024-01-04,9,3\n")
    table, nan = Prices.read([one, two]), np.nan
    assert table.names == ("A", "B", "C")
    assert list(table.days.astype(str)) == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert np.array_equal(table.values, [[1, 5, nan], [nan, nan, 2], [nan, 6, 3]], equal_nan=True)
    assert np.array_equal(table.filled, [[1, 5, nan], [1, 5, 2], [1, 6, 3]], equal_nan=True)
    assert table.until(np.datetime64("2024-01-03")).values.shape == (2, 3)


def test_what_is_broken_is_named(tmp_path):
    (tmp_path / "broken.csv").write_text("Date,A\n2024-01-02,1\n2024-01-02,0\n3 May,free\n")
    with pytest.raises(DataError) as raised:
        Prices.read([tmp_path / "broken.csv"])
    date, price = raised.value.problems
    assert "Lines 2, 3 and 4, column 'Date': for example, '2024-01-02' is not a date such" in date
    assert "Lines 3 and 4, column 'A': for example, '0' is not a price above 0, or an emp" in price


def test_the_panel(lightrec_data):
    folder = lightrec_data / "finance-panel"
    panel = Prices.read([folder / "sp500_dataset.csv", folder / "stock_prices.csv"])
    assert panel.values.shape == (8796, 29)
    day = np.searchsorted(panel.days, np.datetime64("2022-12-28"))
    assert panel.values[day, panel.names.index("XOM")] == 106.627
    assert np.isnan(panel.values[0, panel.names.index("META")])
