"""Portfolios of what is recommended: suitable, blind to later prices, and compared."""

from itertools import pairwise

import numpy as np
import pytest
from lightrec_finance.evaluator import Portfolios, month_ends
from lightrec_finance.prices import Prices

from lightrec.data.store import TEST
from lightrec.keys import Key
from lightrec.run import Run
from lightrec.testing import EvaluatorChecks, check_all


@pytest.fixture
def run(made_up):
    return Run(made_up.run)


def test_contract(made_up):
    check_all(EvaluatorChecks(lambda: Portfolios("made-up"), made_up.run))


def test_months_begin_before_the_test_and_end_in_it(run):
    days = month_ends(run.data, Prices.of("made-up", run.data))
    first = np.asarray(run.data.times)[run.data.events(TEST)].min()
    assert days[0] < np.datetime64(int(first), "ms") <= days[1]
    last = np.asarray(run.data.times)[run.data.events(TEST)].max()
    assert days[-1] <= np.datetime64(int(last), "ms") < days[-1] + 3
    assert len(days) == 6
    assert (np.diff(days.astype("datetime64[M]")).astype(int)[1:-1] == 1).all()
    assert all(np.is_busday(days))


def test_lists_are_suitable_and_stay_so_whatever_prices_do_afterwards(run):
    """No look-ahead: later prices are shifted, and neither lists nor earlier values change."""
    store, portfolios = run.data, Portfolios("made-up")
    prices = Prices.of("made-up", store)
    days = month_ends(store, prices)
    late = (prices.days > days[2])[:, None]
    moved = np.where(late, np.roll(prices.values, 11, axis=0) * 2, prices.values)
    shifted = Prices(prices.days, prices.names, moved)

    def scores(known):
        return run.blend.scores(known[Key.HISTORY], known[Key.USER], details=known)

    one, other = (
        portfolios.decide(store, scores, known.until(days[2]), days[0])
        for known in (prices, shifted)
    )
    assert np.array_equal(one.weights, other.weights)
    held = one.weights > 0
    assert held.sum(1).max() == 10
    limits, risks = store.users["risk_limit"].to_numpy(), store.catalog["risk"].to_numpy()
    people = np.flatnonzero(np.diff(store.offsets) > 0)[: len(held)]
    assert (risks <= limits[people][:, None])[held].all()
    courses = [portfolios.courses(run, known, days) for known in (prices, shifted)]
    until = int(np.searchsorted(courses[0]["recommended"].days, days[2], side="right"))
    for name in courses[0]:
        values = [course[name].values for course in courses]
        assert np.array_equal(values[0][:until], values[1][:until])
        assert not np.allclose(values[0][-1], values[1][-1])


def test_the_section_says_what_it_is_and_what_it_is_not(run):
    found = Portfolios("made-up").evaluate(run, 0)
    (section,) = found.sections
    assert "no investment advice" in section.note
    assert "Nothing above an investor's risk limit is shown." in section.text
    assert len(section.tables[0].rows) == 3
    metrics = found.metrics
    assert metrics["finance/everything/turnover"] < metrics["finance/recommended/turnover"]
    assert 0 < metrics["finance/everything/volatility"] < 1
    assert 0 <= metrics["finance/recommended/drawdown"] < 1


def test_equal_weight_of_everything_by_another_way(run):
    """Without costs, the month's value of equal weights is the mean of the products' growth."""
    prices = Prices.of("made-up", run.data)
    days = month_ends(run.data, prices)
    course = Portfolios("made-up", cost=0).courses(run, prices, days)["everything"]
    rows = np.searchsorted(prices.days, days, side="right")
    bounds = [*rows[:-1], rows[-1] - 1]
    months = [(prices.values[end] / prices.values[begin]).mean() for begin, end in pairwise(bounds)]
    assert course.values[-1, 0] == pytest.approx(np.prod(months))


def test_without_prices_the_section_says_what_to_do(run, tmp_path):
    table = tmp_path / "prices.csv"
    table.write_text("Date,XYZ\n2024-01-02,1\n")
    found = Portfolios(str(table)).evaluate(run, 0)
    assert found.metrics == {}
    assert "None of the log's 192 items has a price" in found.sections[0].text
    assert "--values.prices FILE" in found.sections[0].text
