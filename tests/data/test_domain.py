"""What a domain says of feedback and items, and what it is told of people and may not ask."""

from datetime import timedelta
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
import torch

from lightrec.api import Audience, Catalog, Key, Past
from lightrec.data.domain import Domain, LogMask, eligible
from lightrec.data.store import CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.errors import PluginError
from tests.users.stores import prepared

KNOWN = {
    Key.HISTORY: np.array([[0, 1, 2, 2], [5, 3, 1, 4], [0, 0, 0, 0]]),
    Key.FEEDBACK: np.array([[0, 1, 2, 1], [0, 2, 0, 1], [0, 0, 0, 0]]),
}
ITEMS = {
    "item": ["a", "b", "c", "d"],
    "requires": [["b"], [], ["a", "b"], ["nowhere"]],
    "after": [None, "a", None, "c"],
}


def audience(**known):
    users = pl.DataFrame({"user": ["u", "v", "w"]})
    past = Past.of(KNOWN | known, ["done", "begun"])
    return Audience(users=users, items=pl.DataFrame(ITEMS), time=pl.Series([None] * 3), past=past)


def test_what_was_had_and_all_that_an_item_names_is_counted_by_kind():
    told = audience()
    assert told.had().astype(int).tolist() == [[1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0]]
    # v's event with the item a has no known kind, and counts always; that with c was begun alone.
    assert told.had(["done"]).astype(int).tolist() == [[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    assert told.had(["begun"]).astype(int).tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert told.had([]).astype(int).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    # d names what is no item of the log, and nobody had that.
    assert told.had_all("requires").astype(int).tolist() == [
        [1, 1, 1, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
    ]
    assert told.had_all("after").astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]
    assert told.had_all("requires", ["begun"]).astype(int)[0].tolist() == [1, 1, 0, 0]
    assert told.had_all("nothing of the kind").all()


def test_what_nobody_knows_is_said_to_be_unknown():
    past = audience().past
    assert np.isnat(past.times).all()
    assert past.times.shape == (3, 4)
    assert past.session.tolist() == [0, 0, 0]
    assert past.shown.shape == (3, 0)
    told = audience(**{Key.TIME: np.array([[0, 0, 0, 86_400_000]] * 3)}).past.times
    assert told[0, 3] == np.datetime64("1970-01-02")
    assert np.isnat(told[0, 2])


class Told(Domain):
    """Keeps what it was asked about."""

    name = "told"
    by_history = True
    asked: list

    def eligible(self, audience):
        self.asked.append(audience)
        return ~audience.had()


@pytest.fixture
def store(tmp_path, monkeypatch):
    Told.asked = []
    monkeypatch.setattr("lightrec.data.domain.domain_of", lambda store: Told())
    events = {"user": list("aaaabb"), "item": list("xyzxzy"), "time": [0, 60, 7200, 7260, 5, 6]}
    events["feedback"] = ["play", "skip", "play", "play", "play", "skip"]
    items = Catalog(pl.DataFrame({"item": list("xyz")}))
    settings = {"catalog": items, "domain": Told(), "repeats": True}
    settings["weights"] = {"play": 1, "skip": 1}
    return prepared(events, tmp_path, **settings)


def test_a_held_out_event_is_judged_by_what_came_before_it(store):
    users, ends = torch.tensor([0, 0, 1]), torch.tensor([1, 3, 6])
    mask = LogMask(store)(users, ends)
    number = {item: n for n, item in enumerate(store.catalog["item"], 1)}
    x, y, z = (number[item] for item in "xyz")
    allowed = torch.ones(3, 4, dtype=torch.bool)
    allowed[:, 0] = allowed[0, x] = allowed[2, y] = allowed[2, z] = False
    allowed[1, [x, y, z]] = False
    assert torch.equal(mask, allowed)
    (asked,) = Told.asked
    past, names = asked.past, [None, *store.feedback_kinds]
    assert past.history.tolist() == [[0, 0, x], [x, y, z], [0, z, y]]
    kinds = [[names[kind] for kind in row] for row in past.kinds.tolist()]
    assert kinds == [[None, None, "play"], ["play", "skip", "play"], [None, "play", "skip"]]
    # The first two are asked at their events, b after all of them, whose session is over.
    assert asked.time.dt.epoch("s").to_list() == [60, 7260, 6]
    assert past.times[1].astype("datetime64[s]").astype(int).tolist()[1:] == [60, 7200]
    assert past.session.tolist() == [1, 1, 0]


def test_what_a_session_adds_comes_after_the_log(store):
    played = {
        Key.HISTORY: torch.tensor([[0, 3, 0, 4], [0, 0, 0, 0]]),
        Key.SHOWN: torch.tensor([[1, 3, 2, 0], [2, 0, 0, 0]]),
    }
    mask = LogMask(store, recorded=True)(torch.tensor([1, 0]), torch.tensor([5, 0]), played)
    past = Told.asked[0].past
    z = int(store.items[4])
    assert past.history.tolist() == [[0, 0, z, 3, 4], [0, 0, 0, 0, 0]]
    assert past.session.tolist() == [2, 0]
    assert past.shown.tolist() == [[1, 3, 2, 0], [2, 0, 0, 0]]
    assert np.isnat(past.times[0, 3:]).all()
    assert not np.isnat(past.times[0, 2])
    assert mask[1, 1:].all()
    assert not mask[0, [z, 3]].any()


def test_a_domain_that_goes_by_history_is_not_asked_without_one_and_says_so(store, monkeypatch):
    with pytest.raises(PluginError, match=r"Told of .* goes by what people did, and nobody said"):
        eligible(store, np.array([0]))
    assert eligible(store, store.users[[0]], None, {Key.HISTORY: np.array([[1]])})[0].sum() == 2
    monkeypatch.setattr(Told, "by_history", False)
    with pytest.raises(PluginError, match=r"Told of .*set `by_history = True` in the class"):
        LogMask(store)(torch.tensor([0]))


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
    # To a at time 2, when z was not there, to b at time 9, and to a stranger at the end of the log,
    # which is time 9. Of w nobody knows when it appears.
    a, b = [False, True, True, False, True], [False, False, False, True, True]
    assert np.array_equal(eligible(store, np.array([0, 1])), [a, b])
    assert np.array_equal(eligible(store, store.users.clear(1)), [b])
    assert store.meta["restricts"]
    # A history that ends before b's event at time 3 is asked about that moment.
    mask = LogMask(store)(torch.tensor([1, 1, 0]), torch.tensor([2, 4, 2]))
    assert mask.tolist() == [[False, False, True, False, True], b, a]
    moments = pl.Series([8000, None, None, None]).cast(pl.Datetime("ms"))
    catalog = Catalog(items.with_columns(created=moments[[1, 0, 1, 1]]))
    created = prepared(events, tmp_path, catalog=catalog, domain=News(), new_items=True)
    assert created.first_seen[:3].tolist() == [8000, 2000, 9000]
