"""Courses with prerequisites: whoever makes lists keeps to them, and what opens comes next."""

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import DomainChecks, check_all, tiny

from lightrec.api import EngagementReward, EventStore, HeldOutLog, Key, Run
from lightrec.evaluation.simulation import simulation
from lightrec.learners.logged_sessions import logged_sessions
from lightrec.learners.transitions import PACKED, unpack
from lightrec.recommend import load
from lightrec.simulators.rollout import judge
from lightrec.simulators.user_model import LogStarts
from lightrec.users.choice_sets import ChoiceSets
from tests.courses import HOOKS, Courses, courses_run, is_open

FIRST = {f"i{place}" for place in range(0, tiny.ITEMS, tiny.SIZE)}


@pytest.fixture
def run(tiny_run, tmp_path, lightrec_plugins):
    lightrec_plugins.add("courses", HOOKS)
    return courses_run(tiny_run, tmp_path)


def had_by_user(run):
    """The names of what each user of the log had, in order."""
    store = EventStore(run / "data")
    names, items = store.catalog["item"], np.asarray(store.items) - 1
    pieces = zip(store.offsets[:-1], store.offsets[1:], strict=True)
    users = [names[items[begin:end]].to_list() for begin, end in pieces]
    return dict(zip(store.user_ids, users, strict=True))


def test_the_domain_passes_its_checks():
    check_all(DomainChecks(Courses))


def test_lists_open_with_what_was_had(run):
    recommender = load(run, "blend")
    stranger = recommender.recommend(history=[], k=48)["item"]
    assert {*stranger} == FIRST
    had = []
    for step in range(4):  # a course is listed as soon as the one before it was had
        listed = {*recommender.recommend(history=had, profile={}, k=48)["item"]}
        assert listed == {f"i{step}"} | FIRST - {*had}
        had.append(f"i{step}")
    past = had_by_user(run)
    for user in ("u3", "u20"):
        for more in ([], ["i0"], ["i0", "i1"]):
            listed = recommender.recommend(user, history=more, k=48)["item"]
            known = {*past[user], *more}
            every = {f"i{n}" for n in range(tiny.ITEMS)} - known
            assert {*listed} == {item for item in every if is_open(item, known)}


@pytest.mark.parametrize("before", [None, "test"])
def test_lists_of_everybody_are_open_to_each(run, before):
    table = pl.concat(load(run, "blend").recommend_all(k=48, before=before, batch_size=7))
    past = had_by_user(run)
    if before:
        past = {user: had[:-1] for user, had in past.items()}
    for (user,), listed in table.group_by("user"):
        every = {f"i{n}" for n in range(tiny.ITEMS)} - {*past[user]}
        assert {*listed["item"]} == {item for item in every if is_open(item, past[user])}


def test_a_held_out_event_is_ranked_among_what_was_open_then(run):
    store, past = EventStore(run / "data"), had_by_user(run)
    names = store.catalog["item"].to_list()
    result = HeldOutLog().rank(Run(run).data, lambda batch: torch.rand(len(batch["user"]), 49), 0)
    columns = result.users, result.targets, result.ranks, result.lists
    for user, target, rank, listed in zip(*(each.tolist() for each in columns), strict=True):
        had = past[store.user_ids[user]]
        place = had.index(names[target - 1])
        assert all(is_open(names[item - 1], had[:place]) for item in listed if item)
        assert (rank == float("inf")) == (not is_open(names[target - 1], had[:place]))
    assert (len(result.ranks), result.ineligible) == (tiny.USERS, 0)


@pytest.mark.parametrize("policy", ["random", "popularity", "policy"])
def test_policies_follow_what_sessions_open(run, policy):
    on = simulation(str(run), 60, 0, {"max_steps": 12})
    store, past = Run(run).data, had_by_user(run)
    names, lengths = store.catalog["item"].to_list(), store.train_ends() - store.offsets[:-1]
    had = [{*own[:length]} for own, length in zip(past.values(), lengths, strict=True)]
    shown, fresh = 0, 0

    def note(state, following, alive):
        nonlocal shown, fresh
        for row in alive.nonzero().squeeze(1).tolist():
            user, item = int(state[Key.USER][row]), names[int(state[Key.ACTION][row, 0]) - 1]
            assert is_open(item, had[user]), (store.user_ids[user], item)
            logged = past[store.user_ids[user]]
            shown, fresh = shown + 1, fresh + (not is_open(item, logged))
            if following[Key.TAKEN][row, 0]:
                had[user].add(item)

    judge({policy: on.policy(policy)}, on.simulator, on.users, [0], record=note)
    assert shown > 60
    assert fresh > 0


def test_choices_and_transitions_of_the_log_know_their_moment(run):
    store = EventStore(run / "data")
    names = store.catalog["item"].to_list()
    events = store.events(0)
    users = store.users_of(events)
    had = [
        {names[n - 1] for n in store.items[store.offsets[user] : event]}
        for user, event in zip(users, events, strict=True)
    ]
    sets = ChoiceSets(store, 5, 4, 0.0).offers(users, events, np.random.default_rng(0))
    for before, drawn in zip(had, sets, strict=True):
        assert all(is_open(names[item - 1], before) for item in drawn if item)
    starts = LogStarts.from_store(store)
    sizes = {"history_length": 5, "slate_size": 1, "max_steps": 40}
    rows = logged_sessions(store, starts, EngagementReward(), **sizes)
    masks, after = (unpack(each[PACKED], len(names) + 1).tolist() for each in (rows, rows["next"]))
    taken = rows[Key.ACTION][:, 0].tolist()
    for mask, then, before, item in zip(masks, after, had, taken, strict=True):
        for state, known in ((mask, before), (then, before | {names[item - 1]})):
            every = {name for name in names if name not in known and is_open(name, known)}
            assert {names[n - 1] for n in range(1, len(state)) if state[n]} == every
