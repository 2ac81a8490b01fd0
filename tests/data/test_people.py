"""People: whom a list is for, also those whom the k-core leaves out of a run."""

import numpy as np
import polars as pl
import pytest

from lightrec.api import InteractionLog, Key, RecipeError, Users
from lightrec.data.people import People
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.data.store import READ
from tests.users.stores import prepared

GOAL = [("ann", "x"), ("ann", "y"), ("ann", "z"), ("bob", "x"), ("bob", "y"), ("bob", "z")]
OTHERS = [("cid", "z", "view"), ("cid", "q", "view"), ("cid", "x", "order"), ("eve", "x", "seen")]


@pytest.fixture
def people(tmp_path):
    rows = [(user, item, kind) for user, item in GOAL for kind in ("view", "order")] + OTHERS
    log = pl.DataFrame(rows, ["user", "item", "feedback"], orient="row")
    log = log.with_columns(time=1_700_000_000 + 60 * pl.int_range(pl.len()))
    users = Users(pl.DataFrame({"user": ["ann", "bob", "dan", "eve"], "age": [30, 40, 50, None]}))
    tables = Tables(InteractionLog(log), users=users)
    settings = {"goal": ["order"], "weights": {"view": 0.1, "order": 1.0, "seen": 0.0}}
    store = prepared(tables.log, tmp_path / "data", users=users, k_core=4, **settings)
    (tmp_path / "data" / READ).mkdir()
    write_tables(tables, tmp_path / "data" / READ)
    return People(store)


def test_whom_the_k_core_leaves_out_is_known_by_events_or_attributes(people):
    store = people.store
    assert store.user_ids.to_list() == ["ann", "bob"]
    assert people.outside.users.rows() == [("cid", None), ("eve", None), ("dan", 50)]
    numbers = {item: n for n, item in enumerate(store.catalog["item"], 1)}
    known, row = people.person("cid")
    # Not q, which has too few events; the goal alone makes an item seen, as in training.
    assert known[Key.HISTORY].tolist() == [[numbers["z"], numbers["x"]]]
    assert known[Key.SEEN].tolist() == [[0, numbers["x"]]]
    kinds = [store.feedback_kinds[n - 1] for n in known[Key.FEEDBACK][0]]
    assert kinds == ["view", "order"]
    assert people.times("cid") == [1_700_000_720_000, 1_700_000_840_000]
    assert Key.USER not in known
    assert Key.PROFILE not in known
    assert row.rows() == [("cid", None)]
    known, row = people.person("dan")
    assert not known[Key.HISTORY].any()
    assert row.rows() == [("dan", 50)]
    assert known[Key.PROFILE].shape[0] == 1
    assert people.person("cid", profile={"age": 35}).row.rows() == [("cid", 35)]
    with pytest.raises(RecipeError, match="There is no user 'fay' in the log and the user table"):
        people.person("fay")


def test_everybody_comes_once_in_batches_of_whom_the_same_is_known(people):
    batches = []
    for users, known, counts in people.everybody(2):
        assert len({*(known[Key.HISTORY] > 0).any(1).tolist()}) == 1
        assert np.array_equal(counts, (known[Key.HISTORY] > 0).sum(1))
        batches.append(users["user"].to_list())
    assert batches == [["ann", "bob"], ["cid"], ["dan"], ["eve"]]
    judged = list(people.everybody(2, before_test=True))
    assert [users["user"].to_list() for users, *_ in judged] == [["ann", "bob"]]
    # A store without the tables that it was made from knows no others.
    for file in (people.store.folder / READ).iterdir():
        file.unlink()
    assert len(People(people.store).outside.users) == 0
