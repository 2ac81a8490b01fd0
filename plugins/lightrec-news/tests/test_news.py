"""The contracts, the made-up site, what is learned from it, and what must not be shown."""

from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from lightrec_news.domain import DAY, SHOWN, NewsDomain
from lightrec_news.evaluator import HOUR, TopicsAndAge, _measures
from lightrec_news.reward import ReadingReward

from lightrec.run import Run
from lightrec.testing import RewardChecks, TruthChecks, parametrize_checks, plugin_checks, tiny
from lightrec.testing.truth import made_up

MODELS = "Popularity", "RecentPopularity", "WordNeighbours"
MADE_UP = partial(made_up, "news", *MODELS, seed=3, text_encoder="WordEncoder")


def dead(store):
    """Mark what appeared two days or more before its reader's last event."""
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1]
    return now[:, None] - store.first_seen > 2 * DAY * 1000


@parametrize_checks(
    plugin_checks("lightrec-news"),
    RewardChecks(lambda: ReadingReward("price")),
    TruthChecks("news", MADE_UP, ahead=0.05, forbidden=dead),
)
def test_contract(check):
    check()


@pytest.fixture
def site():
    folder = MADE_UP().log
    return [pl.read_parquet(folder / f"{name}.parquet") for name in ("log", "catalog", "truth")]


def test_what_is_chosen_stands_in_its_place(site):
    log, items, _ = site
    place = log["candidates"].list.get(log["position"] - 1)
    assert place.to_list() == log["item"].to_list()
    assert log["candidates"].list.n_unique().min() == SHOWN
    ages = log.join(items, on="item").select(pl.col("time") - pl.col("created")).to_series()
    assert ages.is_between(timedelta(seconds=-1), timedelta(days=2, seconds=1)).all()


def test_the_place_counts_as_one_over_it(site):
    """The conditional likelihood of the known law is highest near the exponent 1."""
    log, items, truth = site
    offers = log.select("user", "time", item="candidates").explode("item")
    offers = offers.join(items, on="item", maintain_order="left")
    offers = offers.join(truth, on=["user", "item"], maintain_order="left")
    days = (pl.col("time") - pl.col("created")).dt.total_milliseconds() / (DAY * 1000)
    pull = offers.select(pl.col("appeal") - 2 * np.log(2) * days).to_numpy().reshape(-1, SHOWN)
    chosen = np.arange(len(log)), log["position"].to_numpy() - 1

    def likelihood(exponent):
        logits = pull - exponent * np.log(np.arange(1, SHOWN + 1))
        return float((logits[chosen] - np.log(np.exp(logits).sum(1))).mean())

    best = max([0.0, 0.5, 0.9, 1.0, 1.1, 1.5], key=likelihood)
    assert best in (0.9, 1.0, 1.1)
    assert likelihood(best) > likelihood(0.0) + 0.1


def test_lists_of_the_made_up_site():
    metrics = TopicsAndAge().evaluate(Run(MADE_UP().run), 0).metrics
    assert 1 <= metrics["news/blend/topics"] <= 8
    assert 0 < metrics["news/read/age_hours"] < metrics["news/blend/age_hours"] <= 48


def test_238_words_take_a_minute():
    context, reward = tiny.kit_context(), ReadingReward("price")
    reward.bind(context)
    words = context.item_attribute("price").cast(pl.Float64).to_numpy()
    assert reward.lengths[1:].numpy() == pytest.approx(words * 60 / 238)


def test_topics_diversity_and_age_of_known_lists():
    """Topics a a b: two topics, and two pairs of three differ. The fourth place is empty."""
    first = np.array([9, 7, 4]) * HOUR
    store = SimpleNamespace(has_times=True, times=[10 * HOUR], first_seen=first)
    lists, topics = np.array([[1, 2, 3, 0]]), np.array([-1, 0, 0, 1])
    found = _measures("x", lists, store, np.array([0]), topics)
    expected = {"x/empty": 1.0, "x/topics": 2.0, "x/diversity": 2 / 3, "x/age_hours": 3.0}
    assert found == pytest.approx(expected)


def test_texts():
    items = pl.DataFrame({"item": ["1"], "title": ["A"], "abstract": [None], "topic": ["football"]})
    assert NewsDomain().text(items).to_list() == ["A. football"]
    assert NewsDomain().text(items.select("item")).to_list() == [""]
