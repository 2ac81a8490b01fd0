"""Worths of feedback, words and lifetimes of items that a domain says."""

from datetime import timedelta
from types import MappingProxyType

import numpy as np
import polars as pl

from lightrec.data.catalog import Catalog
from lightrec.data.domain import Domain, eligible
from lightrec.data.store import CONTEXT, TEST, TRAIN, VALIDATION
from tests.users.stores import prepared


class Radio(Domain):
    """A skip is worth less than nothing, and an advertisement is no event."""

    feedback = MappingProxyType({"play": 2.0, "skip": -1.0, "advertisement": 0.0})


PLAYED = {
    "user": list("aaaaabb"),
    "item": list("vwxyzxy"),
    "feedback": ["play", "skip", "play", "like", "skip", "advertisement", "play"],
}


def test_a_domain_says_what_feedback_is_worth(tmp_path):
    store = prepared(PLAYED, tmp_path, domain=Radio())
    worth = {"advertisement": 0.0, "like": 1.0, "play": 2.0, "skip": -1.0}
    assert store.meta["settings"]["weights"] == worth
    assert store.meta["used"] == {"like": 1, "play": 3, "skip": 2, "advertisement": 0}
    assert store.meta["left_out"] == {"dropped_without_weight": {"advertisement": 1}}
    assert store.catalog["item"][store.items[:5] - 1].to_list() == ["v", "w", "x", "y", "z"]
    assert store.strengths.tolist() == [2.0, -1.0, 2.0, 1.0, -1.0, 2.0]
    # What was skipped is in histories, and neither trained on nor tested.
    assert store.parts.tolist() == [TRAIN, CONTEXT, VALIDATION, TEST, CONTEXT, TRAIN]
    # The recipe's weights go first, and a log of other kinds is none of the domain's business.
    ratings = {"user": ["a"], "item": ["x"], "value": [4.0]}
    usual = dict.fromkeys(["advertisement", "like", "play"], 1.0) | {"skip": -1.0}
    for events, settings, weights in (
        (PLAYED, {"domain": Radio(), "weights": {"skip": 1}}, {"skip": 1}),
        (PLAYED, {"domain": Domain()}, usual),
        (ratings, {"domain": Radio()}, None),
    ):
        assert prepared(events, tmp_path, **settings).meta["settings"]["weights"] == weights


def test_words_say_what_describes_an_item():
    class Songs(Domain):
        words = MappingProxyType({"tags": "Tags: {}", "title": "{}", "year": "({})"})

    rows = {"item": ["a", "b"], "title": ["A", ""], "tags": [["x", "y"], []], "year": [None, 1995]}
    items = pl.DataFrame(rows | {"blob": [b"1", b"2"], "long_name": ["u", None]})
    assert Songs().text(items).to_list() == ["Tags: x, y. A", "(1995)"]
    assert Songs().text(items.select("item", "blob")).to_list() == ["", ""]
    assert Domain().text(items).to_list() == ["A. tags: x, y. long name: u", "year: 1995"]


def test_names_of_kinds_say_what_was_not_liked():
    kinds = ["Thumbs_Down", "view", "purchase"]
    assert Domain().weights(kinds) == {"Thumbs_Down": -1, "view": 1, "purchase": 1}
    bought = {"Thumbs_Down": -1, "view": 0.1, "purchase": 1}
    assert Domain().weights(kinds, ["purchase"]) == bought
    assert Domain().weights(["skip"], ["skip"]) == {"skip": 1}
    german = {"Seite": 1, "Buchung": 1, "Storno": -1}
    assert Domain().weights([*german]) == german
    assert Domain().weights(["view", "purchase"]) is None


def test_an_item_is_eligible_for_its_lifetime(tmp_path, monkeypatch):
    class News(Domain):
        lifetime = timedelta(seconds=2)

    monkeypatch.setattr("lightrec.data.domain.domain_of", lambda store: News())
    events = {"user": list("aabb"), "item": list("xyyz"), "time": [0, 2, 3, 9]}
    items = pl.DataFrame({"item": list("wxyz")})
    store = prepared(events, tmp_path, catalog=Catalog(items), domain=News(), new_items=True)
    assert store.catalog["item"].to_list() == ["x", "y", "z", "w"]
    # To a at time 2, to b at time 9, and to a stranger at the end of the log, which is time 9.
    a, b = [False, True, True, True, True], [False, False, False, True, True]
    assert np.array_equal(eligible(store, np.array([0, 1])), [a, b])
    assert np.array_equal(eligible(store, store.users.clear(1)), [b])
    assert store.meta["restricts"]
    moments = pl.Series([8000, None, None, None]).cast(pl.Datetime("ms"))
    catalog = Catalog(items.with_columns(created=moments[[1, 0, 1, 1]]))
    created = prepared(events, tmp_path, catalog=catalog, domain=News(), new_items=True)
    assert created.first_seen[:3].tolist() == [8000, 2000, 9000]
