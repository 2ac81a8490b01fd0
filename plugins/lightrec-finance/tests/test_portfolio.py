"""Volatility, drawdown, turnover and what becomes of decisions, against closed forms."""

import numpy as np
import pytest
from lightrec_finance.portfolio import Decision, drawdown, follow, turnover, volatility
from lightrec_finance.prices import Prices

DAYS = np.arange("2024-01-01", "2024-01-08", dtype="datetime64[D]")


def prices(*columns):
    return Prices(DAYS, tuple("ABCDEF"[: len(columns)]), np.array(columns, float).T)


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


def test_turnover_counts_both_sides():
    cash, one, other = np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert turnover(cash, one) == 1
    assert turnover(one, other) == 2
    assert turnover(np.array([0.5, 0.5]), np.array([0.6, 0.4])) == pytest.approx(0.2)
    assert turnover(one, one) == 0


def test_shares_drift_and_are_put_back():
    """Two products, one doubling each day: computed by hand."""
    course = follow(
        [Decision(DAYS[0], np.array([[0.5, 0.5]])), Decision(DAYS[2], np.array([[0.5, 0.5]]))],
        prices([1, 1, 2, 4, 8, 8, 8], [1] * 7),
        cost=0.01,
    )
    # Bought on day 1 for 0.99; on day 3 product A is worth 4/5 of what there is, and 0.6 is traded.
    before = 0.99 * (0.5 * 4 + 0.5)
    after = before * (1 - 0.01 * 0.6)
    assert course.days[0] == DAYS[1]
    assert course.values[:, 0] == pytest.approx(
        [0.99, 0.99 * 1.5, after, after * 1.5, after * 1.5, after * 1.5]
    )
    assert course.turnover == pytest.approx([1.6])
    figures = course.figures()
    assert figures["return"] == pytest.approx(after * 1.5 - 1)
    # The first trade costs 1 %, and the second 0.6 % of a rise.
    assert figures["drawdown"] == pytest.approx([0.01])


def test_cash_and_products_that_are_not_quoted():
    course = follow(
        [Decision(DAYS[0], np.array([[0.25, 0.0]]))],
        prices([1, 2, 4, np.nan, 4, 4, 4], [np.nan] * 7),
        cost=0,
    )
    assert course.values[:, 0] == pytest.approx([1, 1.25, 1.25, 1.25, 1.25, 1.25])
    with pytest.raises(ValueError, match="without a price"):
        follow([Decision(DAYS[0], np.array([[0.0, 1.0]]))], prices([1] * 7, [np.nan] * 7), 0)
    with pytest.raises(ValueError, match="no trading day after"):
        follow([Decision(DAYS[-1], np.array([[1.0]]))], prices([1] * 7), 0)


def test_a_decision_is_not_carried_out_at_its_own_prices():
    """What happens until the evening after the decision earns nothing."""
    decided = [Decision(DAYS[2], np.array([[1.0]]))]
    calm = follow(decided, prices([1, 1, 1, 1, 1, 1, 1]), 0)
    jump = follow(decided, prices([1, 1, 1, 9, 9, 9, 9]), 0)
    assert np.array_equal(calm.values, jump.values)
