"""People: whom the k-core leaves out of a run, one person under several ids, and programs."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.api import Domain, EventStore, InteractionLog, Key, RecipeError, Run, Users
from lightrec.data.outside import Outside
from lightrec.data.pairs import funnel
from lightrec.data.people import People
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.data.store import READ, TEST
from lightrec.data.visitors import bots, persons, renamed
from tests.shops import Shop
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
    for user in ("cid", "ann", "dan"):  # in place of what the table says
        assert people.person(user, profile={"age": 35}).row.rows() == [(user, 35)]
    assert people.person("ann", profile={"age": None}).row.rows() == [("ann", None)]
    with pytest.raises(RecipeError, match="There is no user 'fay' in the log and the user table"):
        people.person("fay")


def test_everybody_comes_once_in_batches_of_whom_the_same_is_known(people):
    batches = []
    for users, known, counts, _ in people.everybody(2):
        assert len({*(known[Key.HISTORY] > 0).any(1).tolist()}) == 1
        assert np.array_equal(counts, (known[Key.HISTORY] > 0).sum(1))
        batches.append(users["user"].to_list())
    assert batches == [["ann", "bob"], ["cid"], ["dan"], ["eve"]]
    ((users, *_, times),) = people.everybody(2, before_test=True)
    assert users["user"].to_list() == ["ann", "bob"]
    assert np.array_equal(times, people.store.times[people.store.events(TEST)])
    for file in (people.store.folder / READ).iterdir():  # without these it knows no others
        file.unlink()
    assert len(People(people.store).outside.users) == 0


DAY = datetime(2025, 3, 1)


def seen_at(user, times, kind="view"):
    return [(user, f"i{n % 50}", kind, time, None) for n, time in enumerate(times)]


PROGRAMS = {
    "clock": seen_at("clock", [DAY + timedelta(seconds=90 * n) for n in range(120)]),
    "owl": seen_at("owl", [DAY + timedelta(minutes=17 * n + n % 5) for n in range(80)]),
    "looker": seen_at("looker", [DAY + timedelta(hours=9 * n, seconds=7 * n) for n in range(400)]),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop with three programs among its customers."""
    shop = Shop("category", customers=80, items=60)
    schema = {"customer": pl.String, "sku": pl.String, "event": pl.String}
    schema |= {"time": pl.Datetime("us"), "price": pl.Float64}
    added = pl.DataFrame([row for each in PROGRAMS.values() for row in each], schema, orient="row")
    shop.events = pl.concat([shop.events, added.select(shop.events.columns)]).sort("time")
    folder = tmp_path_factory.mktemp("shop")
    shop.write(folder)
    return shop, folder


def named(events):
    names = {"customer": "user", "sku": "item", "event": "feedback"}
    return InteractionLog(events.rename(names).drop("price"))


def test_programs_are_found_by_what_no_human_does(shop):
    log = named(shop[0].events)
    programs = bots(log, ["order"])
    assert programs["looker"].startswith("no order in 400 events, where others have ")
    assert programs["clock"] == "an event every 90 seconds, 119 times"
    assert programs["owl"] == "events in 23 hours of one day"
    assert {*programs} == {*PROGRAMS}
    assert {*bots(log)} == {"clock", "owl"}
    humans = shop[0].events.filter(~pl.col("customer").is_in([*PROGRAMS]))
    assert bots(named(humans), ["order"]) == {}
    days = log.events.with_columns(pl.col("time").dt.truncate("1d"))
    assert {*bots(InteractionLog(days))} == set()


def test_programs_are_told_and_left_out_by_one_flag(shop, tmp_path, capsys):
    files = ["--log", str(shop[1] / "log.csv"), "--items", str(shop[1] / "items.csv")]
    assert main(["data", "check", files[1]]) == 0
    assert "bots          3 users with 600 events: clock (an event every" in capsys.readouterr().out
    run = [*("run", "generic", *files), "--out", str(tmp_path / "run"), "--until", "data"]
    assert main([*run, "--leave-out-bots"]) == 0
    assert "Left out as bots: 3 users." in capsys.readouterr().err
    store = Run(tmp_path / "run").data
    assert store.meta["counts"]["dropped_without_user"] == 600
    assert not {*PROGRAMS} & {*store.user_ids, *Outside.of(store).rows}


def test_ids_of_one_person_are_merged_by_the_user_table(shop, tmp_path, capsys):
    events = shop[0].events.filter(~pl.col("customer").is_in([*PROGRAMS]))
    cookie = pl.col("customer") + pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("-web"))
    split = events.with_columns(pl.coalesce(cookie, "customer").alias("customer"))
    split.write_csv(tmp_path / "log.csv")
    ids = split["customer"].unique().sort()
    whose = pl.DataFrame({"cookie": ids, "customer": ids.str.strip_suffix("-web")})
    whose.filter(ids.str.ends_with("-web")).write_csv(tmp_path / "ids.csv")
    events.write_csv(tmp_path / "whole.csv")
    stores = []
    people = ["--users", str(tmp_path / "ids.csv"), "--user-columns"]
    for name, more in (("whole", []), ("log", [*people, "{user: cookie, person: customer}"])):
        out = tmp_path / name
        line = ["run", "generic", "--log", f"{out}.csv", "--out", str(out), "--until", "data"]
        assert main([*line, *more]) == 0
        stores.append(EventStore(out / "data"))
    whole, merged = stores
    sentence = f"persons       {len(ids)} user ids are those of {whole.num_users} persons"
    assert sentence in capsys.readouterr().err
    assert merged.user_ids.equals(whole.user_ids)
    assert (merged.items == whole.items).all()
    assert not [name for name in Outside.of(merged).rows if "-web" in name]
    # Whoever is asked for by another one of their ids is the same person.
    people, user = People(merged), str(merged.user_ids[3])
    other, same = people.person(f"{user}-web"), people.person(user)
    assert other.row.equals(same.row)
    assert other.known["history"].equal(same.known["history"])
    assert people.times(f"{user}-web") == people.times(user)
    with pytest.raises(RecipeError, match="no user 'nobody-web'"):
        people.person("nobody-web")


def test_ids_may_lead_to_each_other():
    table = {"user": [*"abcdef"], "person": ["b", "c", None, "e", "d", "zoe"], "age": range(1, 7)}
    people, whose = persons(Users(pl.DataFrame(table)))
    assert whose == {"a": "c", "b": "c", "e": "d", "f": "zoe"}
    assert sorted(people.rows.select("user", "age").rows()) == [("c", 3), ("d", 4), ("zoe", 6)]
    assert persons(None) == (None, {})
    log = InteractionLog(pl.DataFrame({"user": ["a", "x"], "item": ["1", "2"]}))
    assert renamed(log, whose).events["user"].to_list() == ["c", "x"]


def test_a_log_in_parts_is_read_as_a_whole_one(shop, tmp_path, monkeypatch):
    log = named(shop[0].events)
    whole = prepared(log, tmp_path / "whole", k_core=5)
    found = bots(log, ["order"]), funnel(log, Domain())
    for module in ("log", "pairs", "times"):
        name = "PART" if module == "times" else "HELD"
        monkeypatch.setattr(f"lightrec.data.{module}.{name}", 100)
    parts = [*log.by_users("item")]
    assert len(parts) > 20
    assert sum(part.height for part in parts) == len(log)
    assert len({*log.users()}) == sum(part["user"].n_unique() for part in parts)
    assert (bots(log, ["order"]), funnel(log, Domain())) == found
    assert all(found)
    again = named(shop[0].events)
    assert again.events.equals(log.events)
    parted = prepared(again, tmp_path / "parted", k_core=5)
    assert parted.meta == whole.meta
    for name in ("items", "offsets", "parts", "strengths", "times"):
        assert (
            np.load(parted.folder / f"{name}.npy") == np.load(whole.folder / f"{name}.npy")
        ).all()
