"""The contracts, words, the synthetic shop, the reward, and what the report says of sales."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_ecommerce.domain import EcommerceDomain
from lightrec_ecommerce.rewards import Revenue, prices
from lightrec_ecommerce.sales import Sales
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_testing import EvaluatorChecks, parametrize_checks, plugin_checks
from tensordict import TensorDict

from lightrec.errors import NotApplicable
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run

MADE_UP = partial(made_up, "ecommerce", "Popularity", "EASE", "Demographic", "RepeatConsumption")


def gone(store):
    """Mark what is out of stock, and what is no longer sold at somebody's last event."""
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1][:, None]
    goods = store.catalog
    days = [goods[f"available_{end}"].cast(pl.Datetime("ms")) for end in ("from", "until")]
    begin, end = (day.dt.epoch("ms").to_numpy() for day in days)
    return (goods["stock"] == 0).to_numpy() | (now < begin) | (now >= end + 86_400_000)


@parametrize_checks(
    plugin_checks("lightrec-ecommerce"),
    TruthChecks("ecommerce", MADE_UP, ahead=0.1, forbidden=gone),
    EvaluatorChecks(Sales, lambda: MADE_UP().run),
)
def test_contract(check):
    check()


def test_text_leaves_numbers_out_and_returns_have_negative_worth():
    goods = {"item": ["7", "8"], "title": ["Oak desk", None], "price": [9.99, 5.0]}
    frame = pl.DataFrame({**goods, "tags": [["oak", "office"], []], "brand": ["Holz", None]})
    texts = EcommerceDomain().text(frame).to_list()
    assert texts == ["Oak desk. tags: oak, office. brand: Holz", ""]
    worths = EcommerceDomain().weights(["view", "cart", "purchase", "return"], ["purchase"])
    assert worths == {"view": 0.1, "cart": 0.3, "purchase": 1.0, "return": -1.0}


@pytest.mark.parametrize(
    ("weight", "paid"), [(1.0, [0.5, 2.0, 1.0, 0.0]), (0.5, [0.75, 2.0, 1.0, 0.0])]
)
def test_revenue(weight, paid):
    reward, goods = Revenue(weight), pl.DataFrame({"price": [10.0, 30.0, None]})
    reward.bind(RewardContext(store=SimpleNamespace(catalog=goods)))
    slates = torch.tensor([[1, 2], [1, 2], [3, 0], [2, 3]])
    taken = torch.tensor([[True, False], [True, True], [True, False], [False, False]])
    rewards = reward(TensorDict({Key.ACTION: slates, Key.TAKEN: taken}, [4]))
    assert rewards.flatten().tolist() == paid


@pytest.mark.parametrize("values", [["1", "free"], [-1.0, 2.0], [None, 0.0]])
def test_what_is_no_price_is_refused(values):
    with pytest.raises(NotApplicable, match="'price'"):
        prices(pl.Series("price", values))


def test_sales():
    store, metrics = MADE_UP().store, Sales().evaluate(Run(MADE_UP().run), 0).metrics
    sign = np.array([{"purchase": 1, "return": -1}.get(kind, 0) for kind in store.feedback_kinds])
    signs = sign[np.asarray(store.feedback) - 1]
    price = store.catalog["price"].to_numpy()[np.asarray(store.items) - 1]
    revenue = metrics["ecommerce/session/revenue"] * metrics["ecommerce/sessions"]
    assert revenue == pytest.approx(float(price @ signs), rel=1e-5)
    sessions = np.split(signs == 1, store.session_offsets[1:-1])
    conversion = metrics["ecommerce/session/conversion"]
    assert conversion == pytest.approx(np.mean([session.any() for session in sessions]))
    assert metrics["ecommerce/blend/revenue@10"] > 2 * metrics["ecommerce/popularity/revenue@10"]
