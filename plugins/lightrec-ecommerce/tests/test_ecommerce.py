"""Words, the log of `--offline`, the reward, and what the report says of sales."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_ecommerce.domain import EcommerceDomain
from lightrec_ecommerce.rewards import Revenue, prices
from lightrec_ecommerce.sales import Sales, verdict
from tensordict import TensorDict

from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.stages.run import run
from lightrec.testing import EvaluatorChecks, check_all
from lightrec.testing.truth import recovered


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return EcommerceDomain().synthetic(tmp_path_factory.mktemp("shop"), 0)


@pytest.fixture(scope="session")
def finished(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the made-up log up to item models alone."""
    out = tmp_path_factory.mktemp("run") / "ecommerce"
    models = "[Popularity, EASE, Demographic, RepeatConsumption]"
    settings = {
        "values": ["--text_encoder", "null"],
        "ranker": ["--trainer.max_epochs", "0", "--model.init_args.item_models", models],
    }
    goal = ["purchase"]
    return run("ecommerce", log=made_up, out=out, until="ranker", goal=goal, overrides=settings)


def test_text_leaves_numbers_out() -> None:
    goods = {"item": ["7", "8"], "title": ["Oak desk", None], "price": [9.99, 5.0]}
    frame = pl.DataFrame({**goods, "tags": [["oak", "office"], []], "brand": ["Holz", None]})
    assert EcommerceDomain().text(frame).to_list() == [
        "Oak desk. tags: oak, office. brand: Holz",
        "",
    ]


def test_returns_have_negative_worth() -> None:
    worths = EcommerceDomain().weights(["view", "cart", "purchase", "return"], ["purchase"])
    assert worths == {"view": 0.1, "cart": 0.3, "purchase": 1.0, "return": -1.0}


def test_made_up_customers_return_and_buy_again(made_up: Path) -> None:
    tables = [pl.read_parquet(made_up / name) for name in ("log.parquet", "truth.parquet")]
    items = pl.read_parquet(made_up / "catalog.parquet")
    log = tables[0].join(tables[1], on=["user", "item"]).join(items, on="item")
    bought, back = (log.filter(feedback=kind) for kind in ("purchase", "return"))
    pairs = back.join(bought, on=["user", "item"], suffix=" bought")
    assert pairs["user"].n_unique() == back["user"].n_unique(), "only what was bought comes back"
    assert (pairs["time"] > pairs["time bought"]).all()
    assert back["appeal"].mean() < bought["appeal"].mean() - 0.5
    again = bought.filter(pl.struct("user", "item").is_duplicated())
    assert set(again["category"]) == {"garden", "kitchen"}
    days = again.sort("time").select(pl.col("time").diff().over("user", "item").drop_nulls())
    assert 14 <= days["time"].mean().days <= 22


def test_the_truth_is_recovered(finished: Path, made_up: Path) -> None:
    found = recovered(finished, made_up)
    assert found["blend"] > found["popularity"] + 0.1, found


def test_revenue(tmp_path: Path) -> None:
    goods = pl.DataFrame({"item": ["a", "b", "c"], "price": [10.0, 30.0, None]})
    log = InteractionLog(pl.DataFrame({"user": ["u"] * 3, "item": ["a", "b", "c"]}))
    store = prepare(
        log, tmp_path / "s", catalog=Catalog(goods), domain=EcommerceDomain(), k_core=0, seed=0
    )
    slates = torch.tensor([[1, 2], [1, 2], [3, 0], [2, 3]])
    taken = torch.tensor([[True, False], [True, True], [True, False], [False, False]])
    step = TensorDict({Key.ACTION: slates, Key.TAKEN: taken}, [4])
    for weight, expected in ((1.0, [0.5, 2.0, 1.0, 0.0]), (0.5, [0.75, 2.0, 1.0, 0.0])):
        reward = Revenue(weight)
        reward.bind(RewardContext(store=store))
        assert reward(step).flatten().tolist() == expected
    with pytest.raises(RecipeError, match="weight of prices is 2"):
        Revenue(2)
    for values in (["1", "free"], [-1.0, 2.0], [None, 0.0]):
        with pytest.raises(NotApplicable, match="use EngagementReward"):
            prices(pl.Series("price", values))


def test_sales(finished: Path) -> None:
    check_all(EvaluatorChecks(lambda: Sales(max_events=100), finished))
    store, found = Run(finished).data, Sales().evaluate(Run(finished), 0)
    metrics = found.metrics
    sign = np.array([{"purchase": 1, "return": -1}.get(kind, 0) for kind in store.feedback_kinds])
    price = store.catalog["price"].to_numpy()[np.asarray(store.items) - 1]
    total = float(price @ sign[np.asarray(store.feedback) - 1])
    sessions = metrics["ecommerce/sessions"]
    assert metrics["ecommerce/session/revenue"] * sessions == pytest.approx(total, rel=1e-5)
    assert metrics["ecommerce/session/conversion"] == pytest.approx(store.conversion)
    assert metrics["ecommerce/blend/revenue@10"] > 2 * metrics["ecommerce/popularity/revenue@10"]
    assert "revenue a session" in found.sections[0].markdown()
    assert verdict(metrics).startswith("The blend's first ten find")
