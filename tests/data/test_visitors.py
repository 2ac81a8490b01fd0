"""One person under several ids, and programs among the users of a log."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.api import EventStore, InteractionLog, RecipeError, Run, Users
from lightrec.data.outside import Outside
from lightrec.data.people import People
from lightrec.data.visitors import bots, persons, renamed
from tests.shops import Shop

DAY = datetime(2025, 3, 1)


def rows(user, times, kind="view"):
    return [(user, f"i{n % 50}", kind, time, None) for n, time in enumerate(times)]


PROGRAMS = {
    "clock": rows("clock", [DAY + timedelta(seconds=90 * n) for n in range(120)]),
    "owl": rows("owl", [DAY + timedelta(minutes=17 * n + n % 5) for n in range(80)]),
    "looker": rows("looker", [DAY + timedelta(hours=9 * n, seconds=7 * n) for n in range(400)]),
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
