"""Events that prepare() keeps, drops, orders, splits and counts, with a goal among them, too."""

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.api import Catalog, DataError, Domain, Key, Users
from lightrec.data.events import global_time, item_cold, k_core, leave_one_out, strongest_of_pairs
from lightrec.data.prepare import fingerprint
from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.sequence_data import TrainWindows
from tests.users.stores import prepared


class Songs(Domain):
    """Items repeat."""

    repeats = True


@pytest.fixture
def run(tmp_path):
    return lambda events, **options: prepared(events, tmp_path / "store", **options)


def items_of(store, user):
    row = store.user_ids.to_list().index(user)
    indices = store.items[store.offsets[row] : store.offsets[row + 1]]
    ids = ["", *store.catalog["item"].to_list(), "nothing"]
    return [ids[index] for index in indices]


def test_equal_times_stay_in_file_order(run):
    events = {"user": ["a"] * 40, "item": [f"i{n}" for n in range(40)], "time": [5, 3] * 20}
    expected = [f"i{n}" for n in [*range(1, 40, 2), *range(0, 40, 2)]]
    assert items_of(run(events), "a") == expected
    first, again, other = (
        items_of(run(events, equal_times="shuffle", seed=seed), "a") for seed in (0, 0, 1)
    )
    assert first == again
    assert first not in (expected, other)
    assert sorted(first[:20]) == sorted(expected[:20])


def test_without_times_the_file_gives_the_order(run):
    store = run({"user": ["b", "a", "b"], "item": ["y", "x", "x"]})
    assert items_of(store, "b") == ["y", "x"]
    assert store.meta["order"] == "file"
    assert store.times.tolist() == [0, 0, 0]
    with pytest.raises(DataError, match="'global-time' needs times"):
        run({"user": ["b"], "item": ["y"]}, split="global-time")


def test_everything_dropped_is_counted(run):
    store = run(
        {
            "user": [None, "a", "a", "a", "a", "b", "b"],
            "item": ["x", "x", "x", "y", "z", "x", "y"],
            "value": [5.0, 4.0, 5.0, 1.0, 4.0, 4.0, 5.0],
            "time": [1, 2, 3, 4, None, 5, 6],
        },
        minimum_value=4,
    )
    counts = store.meta["counts"]
    reasons = ("without_user", "without_time", "below_minimum", "repeated")
    dropped = {f"dropped_{reason}": 1 for reason in reasons}
    assert {why: n for why, n in counts.items() if why.startswith("dropped") and n} == dropped
    assert (counts["events_read"], counts["events"]) == (7, 3)
    # Of a repeated pair the strongest stays.
    assert store.strengths[store.offsets[0]] == 5.0
    with pytest.raises(
        DataError, match=r"1 events below the minimum value\. Lower minimum_value \(2"
    ):
        run({"user": ["a"], "item": ["x"], "value": [1.0]}, minimum_value=2)


def test_of_duplicates_the_first_stays(run):
    events = {"user": list("bbabbb"), "item": list("xyxxxx"), "time": [2, 2, 2, 2, 2, 3]}
    events["feedback"] = ["play", "play", "play", "play", "skip", "play"]
    events["value"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    store = run(events, domain=Songs())
    assert store.meta["counts"]["dropped_duplicate"] == 1
    assert store.strengths.tolist() == [3.0, 1.0, 2.0, -5.0, 6.0]
    shuffled = run(events, domain=Songs(), equal_times="shuffle")
    assert sorted(shuffled.strengths.tolist()) == [-5.0, 1.0, 2.0, 3.0, 6.0]
    # Without times, nothing tells a duplicate from a repetition.
    del events["time"]
    counts = run(events, domain=Songs()).meta["counts"]
    assert ("dropped_duplicate" in counts, counts["events"]) == (False, 6)


SHOP = {"user": list("aaaaabb"), "item": list("xxxyzxy"), "time": [1, 2, 3, 4, 5, 6, 7]}
SHOP["feedback"] = ["view", "purchase", "cart", "view", "cart", "view", "view"]


def test_of_a_pair_the_strongest_event_stays(run):
    store = run(SHOP, weights={"view": 1, "cart": 2, "purchase": 3})
    assert items_of(store, "a") == ["x", "y", "z"]
    assert store.strengths.tolist() == [3.0, 1.0, 2.0, 1.0, 1.0]
    assert store.times.tolist() == [2000, 4000, 5000, 6000, 7000]
    assert [*store.log["feedback"]] == ["purchase", "view", "cart", "view", "view"]
    assert store.meta["left_out"] == {"dropped_repeated": {"cart": 1, "view": 1}}
    # Without weights all are equally strong, and the first stays.
    assert run(SHOP).times.tolist() == [1000, 4000, 5000, 6000, 7000]


@pytest.mark.parametrize(
    ("history", "target", "strength"),
    [
        ("count 1, return 1", "", -1),
        ("count 3, return 1", "count", 3),  # two are kept
        ("count 2, count 2, return 3", "count", 2),
        ("view 1, count 1, return 1, view 1", "", -1),
        ("skip 1, skip 1, count 1", "count", 1),  # it was taken in the end
        ("count 1, skip 1", "", -1),
    ],
)
@pytest.mark.parametrize("more", [{}, {"minimum_value": 0.5}, {"goal": ["count"]}], ids=str)
def test_what_a_person_took_back_is_no_target(run, history, target, strength, more):
    kinds, counts = zip(*(word.split() for word in history.split(", ")), strict=True)
    others = ["count", "skip", "return", "view"]
    events = {
        "user": ["b"] * 4 + ["a"] * len(kinds),
        "item": [*"vwyz", *["x"] * len(kinds)],
        "time": range(len(kinds) + 4),
        "feedback": [*others, *kinds],
        "count": [1] * 4 + [int(count) for count in counts],
    }
    weights = {"count": 1, "return": -1, "skip": -1, "view": 0.1}
    store = run(events, weights=weights, **more)
    of_a = slice(*store.offsets[:2])
    assert store.user_ids[0] == "a"
    targets = store.log["feedback"][of_a].filter(pl.Series(store.parts[of_a] != CONTEXT))
    assert {*targets} - {"view"} == ({target} if target else set())
    if not more.get("goal"):
        assert store.strengths[of_a].tolist() == [strength]
    assert store.seen[of_a].any()  # it is not recommended again, whoever sent it back


def test_impossible_weights_are_refused_by_name(run):
    with pytest.raises(DataError) as refused:
        run(SHOP, weights={"view": 1, "purchse": 3, "cart": math.inf})
    assert str(refused.value).splitlines() == [
        "weights: 'purchse' is not a kind of feedback that the log has. Did you mean 'purchase'?",
        "The weight of 'cart' is inf; a weight is a finite number, and events of weight 0 are left "
        "out.",
    ]


def test_items_without_a_row_are_kept(run):
    catalog = Catalog(pl.DataFrame({"item": ["10", "2"], "title": ["ten", "two"]}))
    users = Users(pl.DataFrame({"user": ["b"], "age": [30]}))
    store = run({"user": list("aab"), "item": ["10", "2", "3"]}, catalog=catalog, users=users)
    # Numbers come in numerical order.
    assert store.catalog["item"].to_list() == ["2", "3", "10"]
    assert store.catalog["text"].to_list() == ["two", "", "ten"]
    assert store.users.rows() == [("a", None), ("b", 30)]
    counts = store.meta["counts"]
    assert (counts["items_without_row"], counts["items_without_text"]) == (1, 1)


def test_a_log_without_users_has_one_for_each_session_impression_or_row(run, capsys):
    events = {
        "item": ["x", "y", "x", "x", "z"],
        "propensity": [0.5, 0.25, 0.125, 1.0, 0.1],
        "value": [1.0, 0.0, 2.0, 3.0, 0.5],
        "session": ["s", "s", None, None, None],
        "impression": ["a", "b", "c", "c", None],
    }
    contexts = Users(pl.DataFrame({"user": ["session s", "row 5"], "hour": [9, 17]}))
    store = run(events, users=contexts)
    assert store.users.rows() == [("row 5", 17), ("session s", 9), ("impression c", None)]
    assert store.log["propensity"].to_list() == [0.1, 0.5, 0.25, 0.125, 1.0]
    # What has propensities is taken as it is: x comes twice in an impression.
    assert items_of(store, "impression c") == ["x", "x"]
    assert not store.has_users
    assert store.meta["counts"]["users_made_up"] == 3
    assert "The log names no users: 3 are invented" in capsys.readouterr().err
    # The k-core counts items alone: x has three events.
    core = run(events, users=contexts, k_core=3)
    assert core.catalog["item"].to_list() == ["x"]
    assert core.meta["counts"]["dropped_k_core"] == 2
    assert run({"user": ["a"], "item": ["x"]}).has_users


OFFERS = {
    "user": ["a", "a", "a", "a", "a", "b", "b", "c"],
    "item": ["x", "x", None, "y", "y", "z", "q", "x"],
    "candidates": [None, ["x", "y"], ["w"], ["y", "w", "x"], ["y"], ["x"], ["q", "x"], ["x", "v"]],
}


def test_candidates(run):
    store = run(OFFERS)
    assert store.catalog["item"].to_list() == ["q", "v", "w", "x", "y", "z"]
    assert store.has_nothing
    # Repeated pairs stay, nothing is N + 1.
    assert items_of(store, "a") == ["x", "x", "nothing", "y", "y"]
    assert store.items.tolist() == [4, 4, 7, 5, 5, 6, 1, 4]
    # No candidates: context. Chosen but not on offer (z): context too, and counted.
    ann = [CONTEXT, TRAIN, TRAIN, VALIDATION, TEST]
    assert store.parts.tolist() == [*ann, CONTEXT, TRAIN, TRAIN]
    assert store.meta["counts"]["choices_not_offered"] == 1
    assert store.candidates[:4].tolist() == [[0, 0, 0], [4, 5, 0], [3, 0, 0], [5, 3, 4]]
    assert store.candidates[4:].tolist() == [[5, 0, 0], [0, 0, 0], [1, 4, 0], [4, 2, 0]]
    assert store.popularity().tolist() == [0, 1, 0, 0, 2, 0, 0]
    # The k-core counts decisions.
    core = run(OFFERS, k_core=2)
    assert core.user_ids.to_list() == ["a"]
    assert core.catalog["item"].to_list() == ["w", "x", "y"]
    assert core.meta["counts"]["dropped_k_core"] == 3


def test_it_is_rebuilt_only_when_its_input_changes(run):
    events = {"user": list("aab"), "item": list("xyx")}
    first = run(events)
    born = (first.folder / "items.npy").stat().st_mtime_ns
    again = run(events)
    assert (again.folder / "items.npy").stat().st_mtime_ns == born
    assert again.meta["fingerprint"] == first.meta["fingerprint"]
    changed = run({**events, "item": list("xyz")})
    assert changed.num_items == 3
    assert first.items.tolist() == [1, 2, 1], "the store opened before is still whole"
    assert [path.name for path in changed.folder.parent.iterdir()] == ["store"]
    marks = {store.meta["fingerprint"] for store in (first, changed, run(events, seed=1))}
    assert len(marks) == 3


def test_a_folder_of_others_is_not_touched(run, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("")
    with pytest.raises(DataError, match="is no prepared log"):
        run({"user": ["a"], "item": ["x"]})
    (tmp_path / "store" / "thesis.tex").unlink()
    assert len(run({"user": ["a"], "item": ["x"]})) == 1


def test_the_split_may_leave_users_without_training(run):
    events = {"user": list("aaab"), "item": list("xyzx"), "time": [0, 850, 1000, 1000]}
    store = run(events, split="global-time")
    assert store.parts.tolist() == [TRAIN, VALIDATION, TEST, TEST]
    assert store.meta["counts"]["users_without_train"] == 1
    assert store.train_ends().tolist() == [1, 3]
    with pytest.raises(DataError, match="leave some time to train on"):
        run(events, split="global-time", test_fraction=0.95)


logs = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), st.integers(0, 5)), min_size=1
)


@settings(max_examples=25)
@given(events=logs, split=st.sampled_from(["leave-one-out", "global-time"]))
def test_nothing_is_lost_or_made_up(run, events, split):
    users, items, times = (list(column) for column in zip(*events, strict=True))
    store = run({"user": users, "item": items, "time": times}, split=split, domain=Songs())
    for row, user in enumerate(store.user_ids):
        # sorted() is stable, too.
        distinct = dict.fromkeys(event for event in events if event[0] == user)
        expected = sorted(distinct, key=lambda event: event[2])
        assert items_of(store, user) == [item for _, item, _ in expected]
        parts = store.parts[store.offsets[row] : store.offsets[row + 1]]
        held_out = np.isin(parts, [VALIDATION, TEST])
        assert (np.diff(held_out.astype(int)) >= 0).all(), "training events come first"
    assert store.offsets[-1] == len(set(events))
    assert store.meta["counts"]["dropped_duplicate"] == len(events) - len(set(events))


def test_every_value_name_type_and_setting_changes_the_fingerprint():
    table = pl.DataFrame({"text": ["ab", "c", None], "list": [["a"], [], None], "n": [1, None, 3]})
    changed = [
        table,
        table.with_columns(text=pl.Series(["a", "bc", None])),
        table.with_columns(text=pl.Series(["ab", "c", ""])),
        table.with_columns(list=pl.Series([["a"], None, []])),
        table.with_columns(n=pl.Series([1, 0, 3])),
        table.rename({"text": "words"}),
        table.cast({"n": pl.Float64}),
    ]
    marks = [fingerprint({"log": each}, {"seed": 0}) for each in changed]
    marks += [fingerprint({"log": table}, {"seed": 1}), fingerprint({"log": None}, {"seed": 0})]
    assert len(set(marks)) == len(marks)
    chunks = pl.concat([table[:1], table[1:]], rechunk=False)
    assert fingerprint({"log": chunks}, {"seed": 0}) == marks[0]


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def codes(events):
    array = np.array(events, dtype=np.int32).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def naive_core(events, k):
    keep = [True] * len(events)
    changed = True
    while changed:
        changed = False
        for row, (user, item) in enumerate(events):
            kept = [event for event, stays in zip(events, keep, strict=True) if stays]
            rare = min(sum(u == user for u, _ in kept), sum(i == item for _, i in kept)) < k
            if keep[row] and rare:
                keep[row], changed = False, True
    return keep


@given(events=pairs, k=st.integers(1, 4))
def test_k_core_is_the_naive_fixpoint(events, k):
    users, items = codes(events)
    keep = k_core(users, items, k)
    assert keep.tolist() == naive_core(events, k)
    for column in (users[keep], items[keep]):
        assert all(np.unique(column, return_counts=True)[1] >= k)


@given(events=pairs, data=st.data())
def test_strongest_of_pairs(events, data):
    strengths = [data.draw(st.integers(-2, 2)) for _ in events]
    best = {}
    for row, event in enumerate(events):
        if event not in best or strengths[row] > strengths[best[event]]:
            best[event] = row
    strongest = strongest_of_pairs(*codes(events), np.array(strengths, dtype=np.float32))
    assert np.flatnonzero(strongest).tolist() == sorted(best.values())


wanted = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8)


@given(targets=wanted)
def test_leave_one_out(targets):
    offsets = np.cumsum([0, *map(len, targets)])
    flat = np.array([t for user in targets for t in user])
    parts = leave_one_out(offsets, flat, flat)
    expected = {0: [], 1: [TRAIN], 2: [TRAIN, TEST]}
    for user, is_target in enumerate(targets):
        theirs = parts[offsets[user] : offsets[user + 1]]
        assert ((theirs == CONTEXT) == ~np.array(is_target)).all()
        count = sum(is_target)
        train = [TRAIN] * (count - 2)
        assert theirs[theirs != CONTEXT].tolist() == expected.get(count, [*train, VALIDATION, TEST])


@given(
    times=st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    validation=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
)
def test_global_time_is_ordered(times, validation, test):
    stamps = np.array(times)
    all_of_them = np.ones(len(times), bool)
    parts = global_time(stamps, all_of_them, all_of_them, validation, test)
    assert set(parts.tolist()) <= {TRAIN, VALIDATION, TEST}
    assert TRAIN in parts
    # The numbers of the parts are in their order in time, and one moment is in one part.
    assert (np.diff(parts[np.argsort(stamps, kind="stable")]) >= 0).all()
    for moment in set(times):
        assert len(set(parts[stamps == moment])) == 1


def test_global_time_takes_the_last_tenths():
    times = np.arange(101)
    parts = global_time(times, times != 95, times != 95, 0.1, 0.1)
    assert np.bincount(parts, minlength=4).tolist() == [81, 10, 9, 1]
    assert parts[[80, 81, 90, 91, 95]].tolist() == [TRAIN, VALIDATION, VALIDATION, TEST, CONTEXT]


def test_item_cold_keeps_all_events_of_some_items_out():
    generator = np.random.default_rng(0)
    offsets = np.array([0, 8, 16, 30])
    items = generator.integers(1, 21, 30).astype(np.int32)
    target = np.ones(30, bool)
    parts = item_cold(items, offsets, target, target, 0.2, seed=1)
    cold = np.unique(items[parts == COLD])
    assert len(cold) == int(len(np.unique(items)) * 0.2)
    assert (parts[np.isin(items, cold)] == COLD).all()
    warm = ~np.isin(items, cold)
    for begin, end in pairwise(offsets):
        kept = parts[begin:end][warm[begin:end]]
        assert kept[-2:].tolist() == [VALIDATION, TEST]
        assert (kept[:-2] == TRAIN).all()
    assert (item_cold(items, offsets, target, target, 0.2, seed=1) == parts).all()
    assert (item_cold(items, offsets, target, target, 0.2, seed=2) != parts).any()


WORTH = {"view": 0.1, "cart": 0.3, "buy": 1, "skip": -1}


def made(rows, folder, **chosen):
    """A store whose events are a second apart, with the worths of the kinds that are there."""
    events = pl.DataFrame(rows, ["user", "item", "feedback"], orient="row").with_row_index("time")
    kinds = events["feedback"].unique()
    usual = {"goal": ["buy"], "weights": {kind: WORTH[kind] for kind in WORTH if kind in kinds}}
    return prepared(events.with_columns(pl.from_epoch("time")), folder, **usual | chosen)


SHOPPER = [
    ("u", item, kind)
    for item, kind in [
        *(("a", "view"), ("b", "view"), ("a", "view"), ("a", "buy"), ("c", "view"), ("c", "buy")),
        *(("d", "view"), ("a", "buy"), ("d", "cart"), ("d", "buy"), ("b", "view")),
    ]
]


def test_the_last_events_of_the_goal_are_held_out_and_what_follows_is_not_trained_on(tmp_path):
    store = made(SHOPPER, tmp_path / "s", hide_visit=False)
    # The second purchase of a is a repeat; that a was viewed twice stays.
    assert store.meta["left_out"] == {"dropped_repeated": {"buy": 1}}
    assert store.items.tolist() == [1, 2, 1, 1, 3, 3, 4, 4, 4, 2]
    held_out = [VALIDATION, CONTEXT, CONTEXT, TEST, CONTEXT]
    assert store.parts.tolist() == [TRAIN] * 5 + held_out
    assert store.seen.tolist() == [0, 0, 0, 1, 0, 3, 0, 0, 4, 0]
    assert store.conversion == 1
    assert store.meta["counts"]["users_with_goal"] == 1
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 4, None, 0)[0]
    assert events["history"].tolist() == [[1, 2, 1, 1, 3, 3, 4, 4]]
    assert events["seen"].tolist() == [[0, 0, 0, 1, 0, 3, 0, 0]]
    training = Sequences.all_events(store).training()
    batch = TrainWindows(training, 9, 9)[np.array([[0, 4]])]
    assert batch["target"].tolist() == [[2, 1, 1, 3]]
    kinds = [store.feedback_kinds[k - 1] for k in batch["asked"][0]]
    assert kinds == ["view", "view", "buy", "view"]
    assert batch["reached"].tolist() == [[0, 0, 0, 1]]
    again = made(SHOPPER, tmp_path / "again", repeats=True)
    assert len(again) == len(SHOPPER)
    assert not again.seen.any()
    split = {"split": "global-time", "test_fraction": 0.3}
    by_time = made(SHOPPER, tmp_path / "t", hide_visit=False, **split)
    assert by_time.parts.tolist() == [TRAIN] * 6 + [TRAIN, CONTEXT, TEST, CONTEXT]
    assert by_time.leads is None


def histories(store, part):
    targets, log = Sequences.targets(store, part), Sequences.all_events(store)
    batches = EvaluationEvents(log, targets, None, 9, None, 0)
    return [[i for i in row if i] for row in batches[0][Key.HISTORY].tolist()]


def test_what_only_led_to_an_event_of_the_goal_is_in_no_history(tmp_path):
    store = made(SHOPPER, tmp_path / "s")
    assert store.items.tolist() == [1, 2, 1, 1, 3, 3, 4, 4, 4, 2]
    assert np.flatnonzero(store.leads).tolist() == [0, 2, 4, 6, 7]
    # What led to a purchase that is held out is not trained on; a was bought in training.
    assert store.parts.tolist() == [TRAIN] * 4 + [CONTEXT, VALIDATION, CONTEXT, CONTEXT, TEST, 3]
    assert histories(store, TEST) == [[2, 1, 3]]
    training = Sequences.all_events(store).training()
    assert training.items.tolist() == [2, 1]
    assert training.known(np.array([0]), np.array([2])).tolist() == [[0, 1]]
    assert Sequences.chosen(store).items.tolist() == [2, 1, 3, 4, 2]
    assert store.meta["counts"]["leads"] == 5
    plain = made(SHOPPER, tmp_path / "plain", goal=[])
    assert plain.leads is None
    assert "hide_visit" not in plain.meta["settings"]


@pytest.mark.parametrize(
    ("minutes", "sessions", "left"),
    [
        # Half an hour parts visits: the view of the first day is a reminder.
        ([0, 60, 61, 70, 71, 72], None, [[1, 2]]),
        ([0, 10, 20, 30, 40, 50], None, [[2]]),
        # Sessions that the log names part them, whatever the times.
        (None, ["x", "y", "y", "y", "y", "y"], [[1, 2]]),
        # An event that names none keeps to the half hour, among events that do, too.
        ([0, 60, 61, 70, 71, 72], [None, None, None, "x", None, None], [[1, 2]]),
        ([0, 60, 120, 130, 140, 150], ["x", "x", "x", None, "x", None], [[2]]),
        # With neither, the run of events about the item is the visit.
        (None, None, [[1, 1, 2]]),
    ],
)
def test_a_visit_is_a_session_or_else_an_unbroken_run(minutes, sessions, left, tmp_path):
    kinds = ["view", "view", "view", "view", "cart", "buy"]
    events = {"user": ["u"] * 6, "item": [*"aabaaa"], "feedback": kinds, "session": sessions}
    if minutes:
        events["time"] = [60 * minute for minute in minutes]
    assert histories(prepared(events, tmp_path / "s", goal=["buy"]), TEST) == left


def test_a_visit_is_as_long_as_asked(tmp_path, capsys):
    # Every day a is viewed in the morning, b is viewed at noon, and a is bought in the evening; of
    # w, a is viewed in the evening before.
    hours = [("a", "view", 8), ("b", "view", 12), ("a", "buy", 18)]
    rows = [("u", item, kind, 24 * day + hour) for day in range(4) for item, kind, hour in hours]
    rows += [("w", "b", "view", 0), ("w", "a", "view", 19), ("w", "a", "buy", 42)]
    untimed = pl.DataFrame(rows, ["user", "item", "feedback", "time"], orient="row")
    timed = untimed.with_columns(pl.from_epoch(pl.col("time") * 3600))

    def visiting(name, events=timed, **chosen):
        return prepared(events, tmp_path / name, goal=["buy"], repeats=True, **chosen)

    assert sorted(histories(visiting("plain"), TEST)) == [[1, 2, 1] * 3 + [1, 2], [2, 1]]
    assert "67% of the 3 held-out events follow another event about" in capsys.readouterr().err
    for length, left in (("12h", [2, 1]), ("1d", [2]), ("1380m", [2])):
        store = visiting(length, visit=length)
        assert sorted(histories(store, TEST)) == sorted([[2, 1] * 3 + [2], left])
        assert store.meta["counts"]["leads"] == 4 + (left == [2])
        assert store.meta["counts"]["train"] == 7 + len(left)
    assert not capsys.readouterr().err
    for wrong in ("24", "0h", "a day"):
        with pytest.raises(DataError, match=r"visit: .* is not a length of time"):
            visiting("wrong", visit=wrong)
    with pytest.raises(DataError, match="A length of visits needs times"):
        visiting("untimed", untimed.drop("time"), visit="24h")


@pytest.mark.parametrize("split", ["leave-one-out", "item-cold"])
def test_what_nothing_but_its_own_visit_foretells_is_not_held_out(split, tmp_path):
    rows = [("u", "a", "view"), ("u", "a", "buy"), ("v", "b", "view"), ("v", "a", "buy")]
    store = made(rows, tmp_path / "s", split=split, cold_fraction=0.4)
    assert store.parts.tolist() == [TRAIN, TRAIN, TRAIN, TEST]


def test_a_goal_that_the_log_does_not_have_or_want_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"goal: 'buyy' is not a kind .* Did you mean 'buy'\?"):
        made(SHOPPER, tmp_path / "s", goal=["buyy"])
    with pytest.raises(DataError, match="'view' has the worth 0 in weights"):
        made(SHOPPER, tmp_path / "s", goal=["view"], weights={"buy": 1, "view": 0, "cart": 1})


shopped = st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.sampled_from([*WORTH]))


@settings(max_examples=30)
@given(
    st.lists(shopped, min_size=1, max_size=25),
    st.booleans(),
    st.sampled_from([0, 2]),
    st.sampled_from(["leave-one-out", "global-time", "item-cold"]),
)
def test_every_event_is_accounted_for_by_kind(rows, repeats, core, split):
    read = Counter(kind for *_, kind in rows)
    with TemporaryDirectory() as folder:
        chosen = {"repeats": repeats, "k_core": core, "split": split, "cold_fraction": 0.5}
        try:
            store = made(rows, Path(folder) / "s", **chosen)
        except DataError:
            return
        left_out = sum(map(Counter, store.meta["left_out"].values()), Counter[str]())
        if len(read) > 1:
            assert Counter(store.meta["used"]) + left_out == read
        kinds = store.log["feedback"].cast(pl.String).to_numpy()
        parts = np.asarray(store.parts)
        assert set(kinds[np.isin(parts, (VALIDATION, TEST))]) <= {"buy"}
        assert set(kinds[parts == TRAIN]) <= {"view", "cart", "buy"}
        assert {kinds[e] for e in store.events(COLD) if store.reaches[e]} <= {"buy"}
        ends = store.train_ends()
        trained = store.events(TRAIN)
        assert (trained < ends[store.users_of(trained)]).all()
        owners = store.users_of(np.arange(len(store)))
        pairs = [(u, i) for u, i in zip(owners, store.seen, strict=True) if i]
        assert repeats or len(pairs) == len({*pairs})
