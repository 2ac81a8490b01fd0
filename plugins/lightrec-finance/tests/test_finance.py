"""The contracts, suitability, the synthetic market, the reward after risk, and portfolios."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_finance.domain import FinanceDomain
from lightrec_finance.evaluator import Portfolios, month_ends
from lightrec_finance.made_up import market
from lightrec_finance.portfolio import drawdown, volatility
from lightrec_finance.prices import Prices, decided_by
from lightrec_finance.reward import RiskAdjustedReward
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_testing import EvaluatorChecks, RewardChecks, parametrize_checks, plugin_checks
from tensordict import TensorDict

from lightrec.data.audience import Audience
from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.ranking.scorers import by_history
from lightrec.run import Run

MADE_UP = partial(made_up, "finance", "Popularity", "EASE", "Demographic")
PORTFOLIOS = partial(Portfolios, "made-up")
REWARD = partial(RiskAdjustedReward, "made-up")


def unsuitable(store):
    limits, risks = store.users["risk_limit"].to_numpy(), store.catalog["risk"].to_numpy()
    return risks > limits[:, None]


@parametrize_checks(
    plugin_checks("lightrec-finance"),
    TruthChecks("finance", MADE_UP, ahead=0.1, blend=0.4, forbidden=unsuitable),
    RewardChecks(REWARD, context=lambda: MADE_UP().context),
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
    """Prices of which all later ones are shifted, to show that nothing looks ahead."""
    late = (prices.days > day)[:, None]
    values = np.where(late, np.roll(prices.values, 17, axis=0) * 3, prices.values)
    return Prices(prices.days, prices.names, values)


@pytest.mark.parametrize(
    ("limits", "risks", "allowed"),
    [
        (
            [1, 4, 7, None, 9],
            [1, 4, 7, None, 0],
            [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1] * 5, [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]],
        ),
        # Where only one side is classed, the other is taken for the worst.
        (None, [2, 1], [[0, 1]]),
        ([6], None, [[0]]),
        (None, None, None),
    ],
)
def test_who_may_be_shown_what(limits, risks, allowed):
    sides = {"risk_limit": limits, "risk": risks}
    users, items = (pl.DataFrame({n: v} if v else {"id": [1]}) for n, v in sides.items())
    audience = Audience(users=users, items=items, time=pl.Series([None]))
    mask = FinanceDomain().eligible(audience)
    assert (mask if mask is None else mask.astype(int).tolist()) == allowed


def test_other_limits_count_beside_the_risk_class():
    users = pl.DataFrame({"risk_limit": [7, 7, None], "years": [10, 2, 10]})
    items = pl.DataFrame({"risk": [3, 3], "holding_years": [5, None], "largest_loss": [0.0, 0.0]})
    audience = Audience(users=users, items=items, time=pl.Series([None]))
    assert FinanceDomain().eligible(audience).astype(int).tolist() == [[1, 0], [0, 0], [0, 0]]


def paid(history, action, taken, step=0, **settings):
    """The rewards of some transitions."""
    reward = REWARD(**settings)
    reward.bind(MADE_UP().context)
    columns = {Key.HISTORY: history, Key.ACTION: action, Key.TAKEN: taken}
    state = {name: torch.tensor(rows) for name, rows in columns.items()}
    state |= {Key.USER: torch.arange(len(history)), Key.STEP: torch.full((len(history), 1), step)}
    return reward(TensorDict(state, [len(history)]))


def test_a_reward_by_hand(run, prices):
    """Two products held, a third bought: against the formulas on the prices themselves."""
    weights = {"engagement": 0.5, "gain": 2, "volatility": 3, "drawdown": 4, "cost": 0.01}
    reward = paid([[0, 7, 9]], [[4, 5]], [[True, False]], step=3, **weights)
    daily = prices.until(decided_by(run.data)).values
    values = daily[(len(daily) - 1) % 5 :: 5]
    now = 26 + 3 % (len(values) - 1 - 26)
    expected = 0.5 - 2 * 252 / 5 * 0.01 / 3
    for sign, items in ((1, [6, 8, 3]), (-1, [6, 8])):
        returns = (values[1:] / values[:-1] - 1)[:, items].mean(1)
        past = returns[now - 26 : now]
        path = np.concatenate([[1], (1 + past).cumprod()])
        worth = 2 * 252 / 5 * returns[now] - 3 * volatility(past, 252 / 5) - 4 * drawdown(path)
        expected += sign * float(worth)
    assert float(reward) == pytest.approx(expected, rel=1e-4)


def test_trading_alone_is_not_paid(run):
    """Nothing bought is worth nothing, and more of the same portfolio its costs."""
    assert float(paid([[0, 7, 9]], [[4, 5]], [[False, False]])) == 0
    again = paid([[7, 9]], [[7, 9]], [[True, True]], cost=0.01)
    assert float(again) == pytest.approx(-252 / 5 * 0.01 / 2, rel=1e-4)


def test_a_reward_does_not_look_ahead(run, prices, monkeypatch):
    """Every price after the log's cut is shifted, and not one reward moves."""
    seen = [[0, 7, 9], [1, 2, 3]], [[4, 5], [6, 7]], [[True, False], [True, True]]
    before, (products, days, made) = paid(*seen), market(0)
    moved = moved_after(decided_by(run.data), Prices(days, tuple(products["item"]), made))
    shifted = products, days, moved.values
    monkeypatch.setattr("lightrec_finance.made_up.market", lambda seed: shifted)
    assert not np.array_equal(Prices.of("made-up", run.data).values, prices.values)
    assert torch.equal(paid(*seen), before)


def test_what_cannot_be_computed_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setattr("lightrec_finance.reward.WINDOW", 900)
    with pytest.raises(NotApplicable, match="risk takes 901 or more"):
        REWARD().bind(MADE_UP().context)
    with pytest.raises(RecipeError, match="cost is -1"):
        REWARD(cost=-1)
    (tmp_path / "prices.csv").write_text("Date,XYZ\n2024-01-02,1\n")
    without = Portfolios(str(tmp_path / "prices.csv")).evaluate(run, 0)
    assert without.metrics == {}
    assert "None of the log's 188 items has a price" in without.sections[0].text


def test_lists_are_suitable_and_do_not_look_ahead(run, prices):
    """Later prices are shifted, and neither lists nor earlier values change."""
    store, portfolios, days = run.data, PORTFOLIOS(), month_ends(run.data, prices)
    both = prices, moved_after(days[2], prices)
    decided = [each.until(days[2]) for each in both]
    scores = by_history(run.blend)
    one, other = (portfolios.decide(store, scores, each, days[0]) for each in decided)
    assert np.array_equal(one, other)
    assert (one > 0).sum(1).max() == 10
    people = np.flatnonzero(np.diff(store.offsets) > 0)[: len(one)]
    assert not ((one > 0) & unsuitable(store)[people]).any()
    courses = [portfolios.courses(run, each, days) for each in both]
    until = int(np.searchsorted(courses[0]["recommended"].days, days[2], side="right"))
    for name in courses[0]:
        first, second = (course[name].values for course in courses)
        assert np.array_equal(first[:until], second[:until])
        assert not np.allclose(first[-1], second[-1])
