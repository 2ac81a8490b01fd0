"""The contracts, caps, clicks, calibration, pacing and the value of policies."""

import json
from datetime import UTC, datetime
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_advertising.clicks import ClickModel
from lightrec_advertising.domain import AdvertisingDomain
from lightrec_advertising.evaluator import ClickCalibration
from lightrec_advertising.pacing import Pacing
from lightrec_advertising.reward import ExpectedValueReward
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_testing import parametrize_checks, plugin_checks, tiny
from tensordict import TensorDict

from lightrec.data.audience import Audience
from lightrec.keys import Key
from lightrec.run import Run

MADE_UP = partial(made_up, "advertising", "Popularity", "ItemKNN", "ALS", "Demographic", seed=3)


def forbidden(store):
    """Mark ads whose cap is reached, whose budget is spent, or whose flight is over."""
    ads, users = store.catalog, store.users["shown"].to_list()
    counts = np.array([[shown.count(ad) for ad in ads["item"]] for shown in users])
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1]
    over = now[:, None] > ads["ends"].dt.epoch("ms").to_numpy()
    return (counts >= ads["cap"].to_numpy()) | (ads["budget_left"] <= 0).to_numpy() | over


@parametrize_checks(
    plugin_checks("lightrec-advertising"),
    TruthChecks("advertising", MADE_UP, ahead=0.05, forbidden=forbidden),
)
def test_contract(check):
    check()


def test_what_caps_budgets_and_flights_forbid():
    users = pl.DataFrame({"user": ["u", "v"], "shown": [["a", "b", "a"], None]})
    items = pl.DataFrame(
        {
            "item": ["a", "b", "c", "d"],
            "cap": [2, 2, None, 1],
            "budget_left": [1.0, None, 0.0, 5.0],
            "starts": [None, None, None, datetime(2025, 1, 2)],
        }
    )
    days = [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC)]
    time = pl.Series("time", days, pl.Datetime("ms", "UTC"))
    audience = Audience(users=users, items=items, time=time)
    allowed = AdvertisingDomain().eligible(audience)
    assert allowed.tolist() == [[False, True, False, False], [True, True, False, True]]
    unknown = Audience(users=users[["user"]], items=items[["item"]], time=time)
    assert AdvertisingDomain().eligible(unknown) is None


def test_clicks_are_found():
    run = MADE_UP().run
    metrics = ClickCalibration().evaluate(Run(run), 0).metrics
    loss = {name: metrics[f"clicks/{name}/log_loss"] for name in ("base", "logistic", "crossed")}
    assert loss["crossed"] < loss["logistic"] < loss["base"], "what appeals is a matter of pairs"
    assert metrics["clicks/crossed/calibration_error"] < 0.02
    assert ClickModel.load(run / "clicks").crosses[0].weight.isfinite().all()
    assert json.loads((run / "clicks" / "coding.json").read_text())["user age"]


def test_pacing_spreads_a_budget_and_never_overspends():
    """Against prices even on [0, 1]: worth 1, budget of a quarter of what all auctions cost."""
    chance, steps = np.random.default_rng(0), 4000
    spent = {}
    for rate in (0.0, 0.05):
        pacing = Pacing(np.array([500.0]), steps, rate)
        left = []
        for price in chance.random(steps):
            won = pacing.bids(np.ones(1)) >= price
            pacing.pay(np.where(won, price, 0))
            left.append(float(pacing.left[0]))
        assert min(left) >= 0
        spent[rate] = 500 - np.array(left)
    assert spent[0.0][steps // 3] == pytest.approx(500, abs=1), "without pacing all is gone early"
    for share in (0.25, 0.5, 0.75, 1.0):
        assert spent[0.05][int(share * steps) - 1] == pytest.approx(500 * share, abs=30)


def test_expected_value_is_bid_times_probability():
    context, reward = tiny.kit_context(), ExpectedValueReward("price")
    reward.bind(context)
    price = context.item_attribute("price").cast(pl.Float64).to_list()
    history, user = torch.tensor([[1, 2]]), torch.zeros(1, dtype=torch.int64)
    slate = torch.tensor([[3, 5, 0]])
    state = {Key.HISTORY: history, Key.USER: user, Key.ACTION: slate, Key.TAKEN: slate > 9}
    odds = context.users.utilities(history, slate[:, :2], user).exp()[0].tolist()
    expected = (price[2] * odds[0] + price[4] * odds[1]) / (1 + sum(odds))
    assert reward(TensorDict(state, [1])).item() == pytest.approx(expected, rel=1e-5)
