"""The contracts, the synthetic site, what is learned from it, and what must not be shown."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from lightrec_formats.made_up import DAY
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_news.evaluator import HOUR, _measures
from lightrec_news.reward import ReadingReward
from lightrec_testing import parametrize_checks, plugin_checks, tiny

MODELS = "Popularity", "RecentPopularity", "WordNeighbours"
MADE_UP = partial(made_up, "news", *MODELS, seed=3, text_encoder="WordEncoder")


def dead(store):
    """Mark what appeared two days or more before its reader's last event."""
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1]
    return now[:, None] - store.first_seen > 2 * DAY * 1000


@parametrize_checks(
    plugin_checks("lightrec-news"),
    TruthChecks("news", MADE_UP, ahead=0.05, forbidden=dead),
)
def test_contract(check):
    check()


def test_238_words_take_a_minute():
    context, reward = tiny.kit_context(), ReadingReward("price")
    reward.bind(context)
    words = context.item_attribute("price").cast(pl.Float64).to_numpy()
    assert reward.lengths[1:].numpy() == pytest.approx(words * 60 / 238)


def test_topics_diversity_and_age_of_known_lists():
    """Topics a a b: two topics, and two pairs of three differ. The fourth place is empty."""
    first = np.array([9, 7, 4]) * HOUR
    store = SimpleNamespace(first_seen=first)
    lists, topics = np.array([[1, 2, 3, 0]]), np.array([-1, 0, 0, 1])
    measures = _measures("x", lists, store, np.array([10 * HOUR]), topics)
    expected = {"x/empty": 1.0, "x/topics": 2.0, "x/diversity": 2 / 3, "x/age_hours": 3.0}
    assert measures == pytest.approx(expected)
