"""The reward after risk: by hand, and blind to what comes after the log's cut."""

import numpy as np
import pytest
import torch
from lightrec_finance.made_up import market
from lightrec_finance.portfolio import drawdown, volatility
from lightrec_finance.prices import Prices, decided_by
from lightrec_finance.reward import RiskAdjustedReward
from tensordict import TensorDict

from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.testing import RewardChecks, check_all


@pytest.fixture
def store(made_up):
    return Run(made_up.run).data


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


def bound(store, **settings):
    reward = RiskAdjustedReward("made-up", **settings)
    reward.bind(RewardContext(store=store))
    return reward


def test_contract(store):
    check_all(
        RewardChecks(
            lambda: RiskAdjustedReward("made-up"), context=lambda: RewardContext(store=store)
        )
    )


def test_by_hand(store):
    """Two products held, a third bought: against the formulas on the prices themselves."""
    reward = bound(store, engagement=0.5, gain=2, volatility=3, drawdown=4, cost=0.01)
    found = reward(transition([[0, 7, 9]], [[4, 5]], [[True, False]], step=3))
    prices = Prices.of("made-up", store).until(decided_by(store)).values
    values = prices[(len(prices) - 1) % 5 :: 5]
    now = 26 + 3 % (len(values) - 1 - 26)
    returns = (values[1:] / values[:-1] - 1)[:, [6, 8, 3]].mean(1)
    past = returns[now - 26 : now]
    path = np.concatenate([[1], (1 + past).cumprod()])
    expected = 0.5 + 2 * (returns[now] - 0.01 / 3)
    expected -= 3 * volatility(past, 252 / 5) + 4 * drawdown(path)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_nothing_held_costs_nothing_and_prices_move_on(store):
    reward = bound(store)
    assert reward(transition([[0]], [[3]], [[False]])).tolist() == [[0.0]]
    first, later = (reward(transition([[7]], [[3]], [[True]], step)) for step in (0, 5))
    assert first.item() != later.item()


def test_what_prices_do_after_the_cut_changes_nothing(store, monkeypatch):
    """No look-ahead: every later price is shifted, and not one reward moves."""
    seen = transition([[0, 7, 9], [1, 2, 3]], [[4, 5], [6, 7]], [[True, False], [True, True]])
    before = bound(store)(seen)
    cut = decided_by(store)
    made = market(0)

    def shifted(seed):
        prices = made.prices
        late = (prices.days > cut)[:, None]
        moved = np.where(late, np.roll(prices.values, 17, axis=0) * 3, prices.values)
        return made._replace(prices=Prices(prices.days, prices.names, moved))

    monkeypatch.setattr("lightrec_finance.made_up.market", shifted)
    assert not np.array_equal(Prices.of("made-up", store).values, made.prices.values)
    assert torch.equal(bound(store)(seen), before)


def test_what_cannot_be_computed_is_said(store):
    with pytest.raises(NotApplicable, match="a window of 900 takes 901 or more"):
        bound(store, window=900)
    with pytest.raises(RecipeError, match="a cost is not negative"):
        RiskAdjustedReward("made-up", cost=-1)
