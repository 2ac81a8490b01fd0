"""What a run does with the parts of a plugin that somebody else wrote."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import one_hot

from lightrec import plugins
from lightrec.data.eligibility import domain_of, eligible
from lightrec.data.store import TRAIN, EventStore
from lightrec.errors import PluginError
from lightrec.evaluation.sessions import judge
from lightrec.keys import Key
from lightrec.modules.choice_data import ChoiceData
from lightrec.pipeline.held_out import HeldOutLog
from lightrec.pipeline.simulate import arena
from lightrec.policies.base import Policy
from lightrec.recommend import load
from lightrec.simulators.starts import LogStarts
from tests.clinic import ADULTS, clinic_run, installed


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A finished run of the plugin `clinic`, which is installed as long as its tests run."""
    with installed(tmp_path_factory.mktemp("site")):
        yield clinic_run(tmp_path_factory.mktemp("runs"))


def test_a_run_with_a_part_of_every_kind_ends_with_its_metrics(clinic):
    found = json.loads((clinic / "metrics.json").read_text())
    assert found["clinic/minors"] == ADULTS.start
    assert type(Policy.load(clinic / "policy")).__name__ == "Habit"
    assert 0 < found["test/policy/ndcg@10"] < 1
    assert found["simulator/policy/length"] > 0


@pytest.fixture
def lamps(clinic):
    """(N + 1,) bool: the items that are for adults only."""
    kinds = EventStore.open(clinic / "data").catalog["kind"]
    return torch.tensor([False, *(kinds == "lamp")])


def is_minor(clinic, users):
    """(B,) bool, by rows of the user table."""
    names = EventStore.open(clinic / "data").user_ids
    return torch.tensor([int(names[int(row)][1:]) not in ADULTS for row in users])


@pytest.mark.parametrize("by", ["policy", "encoder"])
def test_nobody_is_recommended_what_the_domain_forbids(clinic, by):
    recommender = load(clinic, by)
    table = pl.concat(recommender.recommend_all(k=48, batch_size=7)).join(
        recommender.catalog.select("item", "kind"), on="item"
    )
    minor = pl.col("user").str.slice(1).cast(pl.Int64) < ADULTS.start
    assert not (table.filter(minor)["kind"] == "lamp").any()
    # Ten of 48 items were seen; who was on a walk among lamps has 2 of their 12 left to see.
    seen_no_lamp = table.filter(~minor).filter(pl.col("user") == "u20")
    assert (seen_no_lamp["kind"] == "lamp").sum() == 12
    own = recommender.recommend("u3", k=48)
    assert own["item"].to_list() == table.filter(pl.col("user") == "u3")["item"].to_list()
    for history in ([], ["tea number 3", "rope number 1"]):
        stranger = recommender.recommend(history=history, k=48)
        assert 34 <= stranger.height <= 36
        assert not stranger["title"].str.starts_with("lamp").any()
    assert recommender.recommend("u3", only=["kind=lamp"]).is_empty()
    assert recommender.recommend("u20", only=["kind=lamp"]).height == 10


def test_forbidden_items_are_not_ranked_and_events_about_them_are_misses(clinic, lamps):
    store = EventStore.open(clinic / "data")
    found = json.loads((clinic / "metrics.json").read_text())
    # Users 2, 6, 10, 14 and 18 are minors whose log is about lamps.
    assert found["test/ineligible_events"] == 5
    perfect = HeldOutLog().rank(
        store, lambda batch: one_hot(batch[Key.TARGET], 49).float() + lamps.float() / 2, 0
    )
    minors = is_minor(clinic, perfect.users)
    forbidden = minors & lamps[perfect.targets]
    assert perfect.ineligible == int(forbidden.sum()) == 5
    assert torch.equal(perfect.per_event()["ndcg@10"], (~forbidden).double())
    assert not lamps[perfect.lists[minors]].any()
    assert lamps[perfect.lists[~minors]].any()


@pytest.mark.parametrize("contender", ["random", "popularity", "constant", "policy"])
def test_no_contender_shows_what_is_forbidden(clinic, lamps, contender):
    on = arena(str(clinic), 60, 0, {"max_steps": 12})
    shown = []

    def note(seed):
        return lambda state, following, alive: shown.append(
            torch.stack([state[Key.USER][alive], state[Key.ACTION][alive, 0]])
        )

    judge({contender: on.policy(contender)}, on.simulator, on.users, [0], record=note)
    users, items = torch.cat(shown, 1)
    minors = is_minor(clinic, users)
    assert not lamps[items[minors]].any()
    assert lamps[items[~minors]].any()


def test_drawn_sets_hold_nothing_that_is_forbidden(clinic, lamps):
    data = ChoiceData(str(clinic / "data"), candidates=10)
    events = data.events(TRAIN)
    minors = is_minor(clinic, data.store.users_of(events))
    batch = data.sets[(0,), events]
    drawn, declined = batch[Key.CANDIDATES].chunk(2)
    assert not lamps[drawn[minors][:, 1:]].any()
    assert not lamps[declined[minors]].any()
    assert lamps[declined[~minors]].any()


def test_who_may_see_nothing_is_shown_nothing(clinic, monkeypatch):
    def nothing(self, users, items):
        return np.zeros((users.height, items.height), bool)

    monkeypatch.setattr(type(domain_of(EventStore.open(clinic / "data"))), "eligible", nothing)
    assert load(clinic).recommend("u20").is_empty()
    assert load(clinic).recommend(history=[]).is_empty()
    on = arena(str(clinic), 60, 0, {})
    (played,) = judge({"random": on.policy("random")}, on.simulator, on.users, [0]).values()
    assert played.coverage == 0
    assert played.length.max() == 1


def test_a_domain_that_forbids_must_be_installed(clinic, monkeypatch):
    monkeypatch.setattr(plugins, "installed", lambda: plugins.discover([]))
    with pytest.raises(PluginError, match="prepared for the domain 'clinic', which says what may"):
        load(clinic)
    with pytest.raises(PluginError, match="no installed plugin provides that domain"):
        LogStarts.from_store(EventStore.open(clinic / "data"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda users, items: np.ones(items.height, bool), r"gave bool \(48,\); expected is None"),
        (lambda users, items: np.ones((users.height, items.height)), r"float64 \(2, 48\)"),
        (lambda users, items: users["height"], "ColumnNotFoundError"),
    ],
)
def test_a_wrong_answer_names_the_domain(clinic, monkeypatch, answer, told):
    store = EventStore.open(clinic / "data")
    kind = type(domain_of(store))
    monkeypatch.setattr(kind, "eligible", lambda self, users, items: answer(users, items))
    with pytest.raises(PluginError, match=told) as error:
        eligible(store, np.array([0, 1]))
    assert "Clinic of lightrec-clinic 1.0" in str(error.value)
