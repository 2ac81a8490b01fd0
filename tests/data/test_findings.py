"""What is found in files: counts that agree with those of a run, orders, and languages."""

import numpy as np
import polars as pl
import pytest

from lightrec.api import Catalog, DataError, Domain, InteractionLog, Place
from lightrec.cli.data import render
from lightrec.data.findings import look_at, recognised
from lightrec.data.languages import in_words, languages_of
from lightrec.data.readers.base import Tables
from tests.shops import Shop
from tests.users.stores import prepared


def test_counts_are_those_of_a_run(tmp_path):
    events = {
        "user": ["a", "a", "a", "b", "c ", None, "d", "d"],
        "item": ["x", "x", "y", "y", "q", "x", "x", "z"],
        "time": [1, 1, 2, 3, 4, 5, None, 86_400],
    }
    place = Place(names={"user": "who"}, ignored=("price",))
    items = pl.DataFrame({"item": ["x", "y", "z"], "title": ["ex", None, "zed"]})
    tables = Tables(InteractionLog(pl.DataFrame(events), place=place), Catalog(items))
    findings = look_at(tables, Domain())
    assert findings.times == ("1970-01-01T00:00:01Z", "1970-01-02T00:00:00Z")
    assert findings.feedback == {"implicit": 8}
    assert findings.columns["user"] == "who"
    assert findings.ignored == ("price",)
    made = prepared(tables.log, tmp_path / "store", catalog=tables.catalog).meta["counts"]
    counts = dict(findings.counts)
    assert counts.pop("events") == made["events_read"]
    assert {name: made[name] for name in counts} == counts
    assert {name: count for name, count in counts.items() if count} == {
        "dropped_without_user": 1,
        "dropped_without_time": 1,
        "dropped_duplicate": 1,
        "users": 4,
        "items": 4,
        "users_with_one_event": 3,
        "items_without_row": 1,
        "items_without_text": 2,
        "ids_with_blanks": 1,
    }


def test_the_k_core_is_that_of_a_run(tmp_path):
    users = [user for user in "abcd" for _ in range(4)] + ["e"]
    events = {
        "user": users,
        "item": [*"wxy-wxy-wx-zwxz-", "z"],
        "feedback": ["return" if n % 4 == 1 else "count" for n in range(17)],
    }
    tables = Tables(InteractionLog(pl.DataFrame(events)), None)
    findings = look_at(tables, Domain(), least=3)
    made = prepared(tables.log, tmp_path / "store", k_core=3).meta
    assert findings.counts["dropped_k_core"] == made["counts"]["dropped_k_core"] == 5
    assert findings.left_out["dropped_k_core"] == made["left_out"]["dropped_k_core"]
    assert findings.counts["users_with_one_event"] == made["counts"]["users_with_one_event"] == 0
    assert findings.used == {name: made["counts"][name] for name in ("events", "users", "items")}
    assert findings.used == {"events": 12, "users": 4, "items": 3}
    assert (findings.counts["ids_of_nothing"], findings.negative) == (1, ["return"])
    assert "A run uses 12 events of 4 users and 3 items" in render(tmp_path, findings, "generic")


def test_what_a_run_with_a_goal_or_with_repeats_keeps_is_not_told_as_left_out():
    kinds = ["view", "view", "buy", "buy"]
    frame = pl.DataFrame({"user": ["a"] * 4, "item": ["x"] * 4, "feedback": kinds})
    tables = Tables(InteractionLog(frame))

    def repeated(*goal, repeats=False):
        counts = look_at(tables, Domain(), goal=goal, repeats=repeats).counts
        return counts.get("dropped_repeated", 0)

    assert [repeated(), repeated("buy"), repeated(repeats=True)] == [3, 1, 0]
    with pytest.raises(DataError, match="Did you mean 'buy'"):
        repeated("buyy")


@pytest.mark.parametrize("timed", [True, False])
def test_without_a_goal_orders_stay_and_are_proposed(timed, tmp_path):
    shop = Shop("category", customers=40)
    names = {"customer": "user", "sku": "item", "event": "feedback"}
    frame = shop.events.rename(names).drop("price")
    tables = Tables(InteractionLog(frame if timed else frame.drop("time")))
    ordered, returned = (shop.events["event"].eq(kind).sum() for kind in ("order", "return"))
    findings = look_at(tables, Domain())
    assert findings.proposed == [("order", 1.0)]
    assert "goal          none; give --goal order if" in "\n".join(recognised(findings))
    assert findings.left_out["dropped_repeated"].get("order", 0) <= returned < ordered / 4
    settings = prepared(tables.log, tmp_path / "s").meta["settings"]
    assert settings["weights"] == {"view": 0.1, "basket": 0.1, "order": 1, "return": -1}
    assert look_at(tables, Domain(), goal=["order"]).proposed == []
    # Hearts of other songs than those that were played, and ratings, lead nowhere.
    other = frame.with_columns(item=pl.format("{} {}", "item", "feedback"))
    assert look_at(Tables(InteractionLog(other)), Domain()).proposed == []


RANDOM = np.random.default_rng(0)
USERS = np.repeat(np.arange(30), 10)
ITEMS = np.concatenate([RANDOM.permutation(2000)[:10] for _ in range(30)])


def looked_at(**columns):
    """Look at a log of 30 users with ten events each."""
    frame = pl.DataFrame({"user": USERS, "item": ITEMS} | columns)
    return look_at(Tables(InteractionLog(frame, times="seconds")), Domain())


def sorted_within(order):
    return ITEMS[np.lexsort((order(ITEMS), USERS))]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, ""),
        ({"item": sorted_within(lambda i: i)}, "are in numerical order of their items, so"),
        ({"item": sorted_within(lambda i: -i)}, "are in numerical order of their items, the last"),
        ({"item": sorted_within(lambda i: i.astype(str))}, "are in alphabetical order of their"),
        ({"value": -np.sort(-RANDOM.random(300))}, "are in the order of their values, the last"),
        # Times that differ make what a file is sorted by harmless.
        ({"item": sorted_within(lambda i: i), "time": 100 + np.arange(300)}, ""),
    ],
)
def test_a_file_that_was_sorted_by_something_else_is_found_out(columns, words):
    note = looked_at(**columns).order
    assert words in note
    assert bool(words) == bool(note)


def test_ties_are_counted_and_a_file_with_the_newest_first_is_told():
    on_days = looked_at(time=(20_000 - np.arange(300) // 2) * 86_400)
    assert on_days.counts["events_on_one_day"] == 300
    assert on_days.counts["users_with_tied_end"] == 30
    assert "newest events first" in on_days.order
    at_times = looked_at(time=np.tile([0, 0, 0, 1, 2, 2, 2, 2, 2, 3], 30) + 1)
    assert at_times.counts["events_at_one_time"] == 8 * 30
    assert at_times.counts["events_on_one_day"] == at_times.counts["users_with_tied_end"] == 0
    assert not at_times.order


TITLES = {
    "de": "Die Verwandlung|Im Westen nichts Neues|Kleine Geschichte der Hanse|Das Parfum|Der "
    "Besuch der alten Dame|Die unendliche Geschichte|Ansichten eines Clowns|Der Schimmelreiter",
    "en": "The old man and the sea|Pride and prejudice|A room of one's own|The turn of the screw|"
    "Great expectations|Far from the madding crowd|The remains of the day|Of mice and men",
    "zh": "无线蓝牙耳机|不锈钢保温杯|儿童户外背包|复古台灯|智能手表|便携折叠雨伞|静音机械键盘|"
    "迷你加湿器|红楼梦|城市的夜晚|平凡的世界|家常菜谱大全|中国通史|海边的房子|电热水壶|纯棉床单|竹制砧板|"
    "男士运动鞋|女士羊毛围巾|陶瓷咖啡杯|四季花茶",
}


@pytest.mark.parametrize("code", TITLES)
def test_the_language_of_titles_is_found(code):
    titles = TITLES[code].split("|")
    assert languages_of(titles) == {code: 1.0}
    assert languages_of([*titles, None, "", "12 (1995)"]) == {code: 1.0}


def test_shares_of_a_catalog_in_two_languages():
    shares = languages_of(TITLES["de"].split("|") * 6 + TITLES["en"].split("|") * 2)
    assert [*shares] == ["de", "en"]
    assert shares["de"] == pytest.approx(0.75, abs=0.1)
    words = in_words({"de": 0.75, "en": 0.2, "xx": 0.05})
    assert words == "German (75 %), English (20 %) and xx (5 %)"


def test_names_and_numbers_tell_no_language():
    assert languages_of(f"tea number {number}" for number in range(99)) == {}
    assert languages_of(f"SK-{number * 37}" for number in range(99)) == {}
    assert languages_of([]) == {}
