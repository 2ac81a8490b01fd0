"""Risk classes, suitability in a million draws, and the made-up log's truth."""

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_finance.domain import FinanceDomain, risk_class
from lightrec_finance.made_up import MONTH, market, write
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.policies.baselines import PopularityPolicy, RandomPolicy
from lightrec.testing.truth import recovered


def eligible(limits, risks):
    users = pl.DataFrame({"user": [f"u{n}" for n in range(len(limits))], "risk_limit": limits})
    items = pl.DataFrame({"item": [f"i{n}" for n in range(len(risks))], "risk": risks})
    return FinanceDomain().eligible(users, items, pl.Series([None] * len(limits)))


def test_classes_by_volatility():
    yearly = [0.001, 0.005, 0.049, 0.05, 0.12, 0.2, 0.3, 0.8, 2.0]
    assert risk_class(yearly).tolist() == [1, 2, 2, 3, 4, 5, 6, 7, 7]


def test_who_may_be_shown_what():
    allowed = eligible([1, 4, 7, None, 9], [1, 4, 7, None, 0])
    assert allowed.tolist() == [
        [True, False, False, False, False],
        [True, True, False, False, False],
        [True, True, True, True, True],
        [True, False, False, False, False],
        [True, False, False, False, False],
    ]


def test_where_only_one_side_is_classed_the_other_is_taken_for_the_worst():
    domain, time = FinanceDomain(), pl.Series([None])
    user, item = pl.DataFrame({"user": ["u"]}), pl.DataFrame({"item": ["i"]})
    risky, safe = item.with_columns(risk=2), item.with_columns(risk=1)
    assert domain.eligible(user, risky, time).tolist() == [[False]]
    assert domain.eligible(user, safe, time).tolist() == [[True]]
    assert domain.eligible(user.with_columns(risk_limit=6), item, time).tolist() == [[False]]
    assert domain.eligible(user, item, time) is None


@pytest.mark.parametrize("policy", ["random", "popularity"])
def test_nothing_unsuitable_in_a_million_draws(policy):
    chance = np.random.default_rng(0)
    limits, risks = chance.integers(1, 8, 200), chance.integers(1, 8, 60)
    mask = torch.from_numpy(np.pad(eligible(limits, risks), ((0, 0), (1, 0))))
    appeal = torch.arange(61.0)
    policies = {"random": RandomPolicy(60), "popularity": PopularityPolicy.from_appeal(appeal)}
    rows = torch.arange(100_000) % 200
    state = TensorDict(
        {
            Key.MASK: mask[rows],
            Key.HISTORY: torch.zeros(len(rows), 1, dtype=torch.int64),
            Key.USER: rows,
            Key.STEP: torch.zeros(len(rows), 1, dtype=torch.int64),
            Key.ACCEPTED_TOTAL: torch.zeros(len(rows), 1),
        },
        [len(rows)],
    )
    law = policies[policy].distribution(state, 2)
    limit = torch.from_numpy(limits)[rows, None]
    risk = torch.cat([torch.zeros(1, dtype=torch.int64), torch.from_numpy(risks)])
    for _ in range(5):  # 100,000 slates of two each
        assert (risk[law.sample()] <= limit).all()


def test_words():
    items = pl.DataFrame(
        {"title": ["Elm", None], "sector": ["food", None], "risk": [3, 12], "industry": ["", "x"]}
    )
    assert FinanceDomain().text(items).to_list() == ["Elm. food. . risk class 3 of 7", "x"]


def test_the_made_up_market_is_the_same_again_and_prices_move_on(tmp_path):
    one, again, other = market(3), market(3), market(4)
    assert one.products.equals(again.products)
    assert np.array_equal(one.prices.values, again.prices.values)
    assert not np.array_equal(one.prices.values, other.prices.values)
    assert one.products["risk"].to_list() == _classes_of(one).tolist()
    log = pl.read_parquet(write(tmp_path, 3) / "log.parquet").filter(feedback="purchase")
    # People run after what has risen: what they buy did better than the average before.
    logs = np.log(one.prices.values)
    days = np.searchsorted(one.prices.days, log["time"].dt.date().to_numpy()) - 1
    items = log["item"].str.slice(2).cast(pl.Int64).to_numpy() - 1
    rises = logs[days] - logs[days - MONTH]
    bought = rises[np.arange(len(items)), items] - rises.mean(1)
    assert bought.mean() > 5 * bought.std() / len(bought) ** 0.5


def _classes_of(market):
    returns = np.diff(np.log(market.prices.values), axis=0)
    return risk_class(returns.std(axis=0, ddof=1) * 252**0.5)


def test_the_truth_is_recovered_better_than_by_popularity(made_up):
    found = recovered(made_up.run, made_up.log)
    assert found["blend"] > found["popularity"] + 0.1
    assert found["blend"] > 0.4
