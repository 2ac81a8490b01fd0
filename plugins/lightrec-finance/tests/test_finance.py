"""The contracts, suitability, the made-up market, the reward after risk, and portfolios."""

from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_finance.domain import FinanceDomain, risk_class
from lightrec_finance.evaluator import Portfolios, month_ends
from lightrec_finance.made_up import MONTH, market
from lightrec_finance.portfolio import drawdown, volatility
from lightrec_finance.prices import Prices, decided_by
from lightrec_finance.reward import RiskAdjustedReward
from tensordict import TensorDict

from lightrec.data.store import TEST
from lightrec.errors import NotApplicable, RecipeError
from lightrec.evaluation.held_out import by_history
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.testing import (
    EvaluatorChecks,
    RewardChecks,
    TruthChecks,
    parametrize_checks,
    plugin_checks,
)
from lightrec.testing.truth import made_up

MADE_UP = partial(made_up, "finance", "Popularity", "EASE", "Demographic")
PORTFOLIOS = partial(Portfolios, "made-up")
REWARD = partial(RiskAdjustedReward, "made-up")


def context():
    return RewardContext(store=Run(MADE_UP().run).data)


def unsuitable(store):
    limits, risks = store.users["risk_limit"].to_numpy(), store.catalog["risk"].to_numpy()
    return risks > limits[:, None]


@parametrize_checks(
    plugin_checks("lightrec-finance"),
    TruthChecks("finance", MADE_UP, ahead=0.1, blend=0.4, forbidden=unsuitable),
    RewardChecks(REWARD, context=context),
    EvaluatorChecks(PORTFOLIOS, lambda: MADE_UP().run),
)
def test_contract(check):
    check()


@pytest.fixture
def run():
    return Run(MADE_UP().run)


@pytest.fixture
def prices(run):
    return Prices.of("made-up", run.data)


def moved_after(day, prices):
    """Give prices of which all later ones are shifted, to show that nothing looks ahead."""
    late = (prices.days > day)[:, None]
    values = np.where(late, np.roll(prices.values, 17, axis=0) * 3, prices.values)
    return Prices(prices.days, prices.names, values)


def test_classes_by_volatility():
    yearly = [0.001, 0.005, 0.049, 0.05, 0.12, 0.2, 0.3, 0.8, 2.0]
    assert risk_class(yearly).tolist() == [1, 2, 2, 3, 4, 5, 6, 7, 7]


def test_who_may_be_shown_what():
    def eligible(users, items):
        users, items = (pl.DataFrame(given or {"id": [1]}) for given in (users, items))
        found = FinanceDomain().eligible(users, items, pl.Series([None]))
        return None if found is None else found.astype(int).tolist()

    classed = eligible({"risk_limit": [1, 4, 7, None, 9]}, {"risk": [1, 4, 7, None, 0]})
    assert classed == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1] * 5, [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    # Where only one side is classed, the other is taken for the worst.
    assert eligible({}, {"risk": [2]}) == [[0]]
    assert eligible({}, {"risk": [1]}) == [[1]]
    assert eligible({"risk_limit": [6]}, {}) == [[0]]
    assert eligible({}, {}) is None


def test_words():
    items = pl.DataFrame(
        {"title": ["Elm", None], "sector": ["food", None], "risk": [3, 12], "industry": ["", "x"]}
    )
    assert FinanceDomain().text(items).to_list() == ["Elm. food. risk class 3 of 7", "x"]


def test_the_made_up_market_is_the_same_again_and_prices_move_on():
    one, again, other = market(0), market(0), market(4)
    assert one.products.equals(again.products)
    assert np.array_equal(one.prices.values, again.prices.values)
    assert not np.array_equal(one.prices.values, other.prices.values)
    logs = np.log(one.prices.values)
    yearly = np.diff(logs, axis=0).std(axis=0, ddof=1) * 252**0.5
    assert one.products["risk"].to_list() == risk_class(yearly).tolist()
    log = pl.read_parquet(MADE_UP().log / "log.parquet").filter(feedback="purchase")
    # People run after what has risen: what they buy did better than the average before.
    days = np.searchsorted(one.prices.days, log["time"].dt.date().to_numpy()) - 1
    items = log["item"].str.slice(2).cast(pl.Int64).to_numpy() - 1
    rises = logs[days] - logs[days - MONTH]
    bought = rises[np.arange(len(items)), items] - rises.mean(1)
    assert bought.mean() > 5 * bought.std() / len(bought) ** 0.5


def transition(history, action, taken, step=0):
    rows = len(history)
    data = {
        Key.USER: torch.arange(rows),
        Key.HISTORY: torch.tensor(history),
        Key.ACTION: torch.tensor(action),
        Key.TAKEN: torch.tensor(taken),
        Key.STEP: torch.full((rows, 1), step),
    }
    return TensorDict(data, [rows])


def bound(**settings):
    reward = REWARD(**settings)
    reward.bind(context())
    return reward


def test_a_reward_by_hand(run, prices):
    """Two products held, a third bought: against the formulas on the prices themselves."""
    reward = bound(engagement=0.5, gain=2, volatility=3, drawdown=4, cost=0.01)
    found = reward(transition([[0, 7, 9]], [[4, 5]], [[True, False]], step=3))
    known = prices.until(decided_by(run.data)).values
    values = known[(len(known) - 1) % 5 :: 5]
    now = 26 + 3 % (len(values) - 1 - 26)
    returns = (values[1:] / values[:-1] - 1)[:, [6, 8, 3]].mean(1)
    past = returns[now - 26 : now]
    path = np.concatenate([[1], (1 + past).cumprod()])
    expected = 0.5 + 2 * (returns[now] - 0.01 / 3)
    expected -= 3 * volatility(past, 252 / 5) + 4 * drawdown(path)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_nothing_held_costs_nothing_and_prices_move_on():
    reward = bound()
    assert reward(transition([[0]], [[3]], [[False]])).tolist() == [[0.0]]
    first, later = (reward(transition([[7]], [[3]], [[True]], step)) for step in (0, 5))
    assert first.item() != later.item()


def test_a_reward_does_not_look_ahead(run, prices, monkeypatch):
    """Every price after the log's cut is shifted, and not one reward moves."""
    seen = transition([[0, 7, 9], [1, 2, 3]], [[4, 5], [6, 7]], [[True, False], [True, True]])
    before, made = bound()(seen), market(0)
    shifted = made._replace(prices=moved_after(decided_by(run.data), made.prices))
    monkeypatch.setattr("lightrec_finance.made_up.market", lambda seed: shifted)
    assert not np.array_equal(Prices.of("made-up", run.data).values, prices.values)
    assert torch.equal(bound()(seen), before)


def test_what_cannot_be_computed_is_said():
    with pytest.raises(NotApplicable, match="a window of 900 takes 901 or more"):
        bound(window=900)
    with pytest.raises(RecipeError, match="a cost is not negative"):
        REWARD(cost=-1)


def test_months_begin_before_the_test_and_end_in_it(run, prices):
    days = month_ends(run.data, prices)
    times = np.asarray(run.data.times)[run.data.events(TEST)].astype("datetime64[ms]")
    assert days[0] < times.min() <= days[1]
    assert days[-1] <= times.max() < days[-1] + 3
    assert len(days) == 6
    assert (np.diff(days.astype("datetime64[M]")).astype(int)[1:-1] == 1).all()
    assert all(np.is_busday(days))


def test_lists_are_suitable_and_do_not_look_ahead(run, prices):
    """Later prices are shifted, and neither lists nor earlier values change."""
    store, portfolios, days = run.data, PORTFOLIOS(), month_ends(run.data, prices)
    shifted = moved_after(days[2], prices)
    one, other = (
        portfolios.decide(store, by_history(run.blend), known.until(days[2]), days[0]).weights
        for known in (prices, shifted)
    )
    assert np.array_equal(one, other)
    assert (one > 0).sum(1).max() == 10
    people = np.flatnonzero(np.diff(store.offsets) > 0)[: len(one)]
    assert not ((one > 0) & unsuitable(store)[people]).any()
    courses = [portfolios.courses(run, known, days) for known in (prices, shifted)]
    until = int(np.searchsorted(courses[0]["recommended"].days, days[2], side="right"))
    for name in courses[0]:
        values = [course[name].values for course in courses]
        assert np.array_equal(values[0][:until], values[1][:until])
        assert not np.allclose(values[0][-1], values[1][-1])


def test_equal_weight_of_everything_by_another_way(run, prices):
    """Without costs, the month's value of equal weights is the mean of the products' growth."""
    days = month_ends(run.data, prices)
    course = PORTFOLIOS(cost=0).courses(run, prices, days)["everything"]
    rows = np.searchsorted(prices.days, days, side="right")
    bounds = [*rows[:-1], rows[-1] - 1]
    months = [(prices.values[end] / prices.values[begin]).mean() for begin, end in pairwise(bounds)]
    assert course.values[-1, 0] == pytest.approx(np.prod(months))


def test_the_section_says_what_it_is_and_what_it_is_not(run, tmp_path):
    findings = PORTFOLIOS().evaluate(run, 0)
    (section,), found = findings.sections, findings.metrics
    assert "no investment advice" in section.note
    assert "Nothing above an investor's risk limit is shown." in section.text
    assert len(section.tables[0].rows) == 3
    assert found["finance/everything/turnover"] < found["finance/recommended/turnover"]
    assert 0 < found["finance/everything/volatility"] < 1
    assert 0 <= found["finance/recommended/drawdown"] < 1
    table = tmp_path / "prices.csv"
    table.write_text("Date,XYZ\n2024-01-02,1\n")
    without = Portfolios(str(table)).evaluate(run, 0)
    assert without.metrics == {}
    assert "None of the log's 192 items has a price" in without.sections[0].text
    assert "--values.prices FILE" in without.sections[0].text
