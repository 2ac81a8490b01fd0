"""A goal among several kinds of feedback: what is held out, what is seen, what is accounted for."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.api import DataError, Key
from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.sequence_data import TrainWindows
from tests.users.stores import prepared

KINDS = ("view", "cart", "buy", "skip")
WORTH = {"view": 0.1, "cart": 0.3, "buy": 1, "skip": -1}


def made(rows, folder, **chosen):
    """A store whose events are a second apart, with the worths of the kinds that are there."""
    events = pl.DataFrame(rows, ["user", "item", "feedback"], orient="row").with_row_index("time")
    kinds = events["feedback"].unique()
    usual = {"goal": ["buy"], "weights": {kind: WORTH[kind] for kind in KINDS if kind in kinds}}
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


logs = st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.sampled_from(KINDS))


@settings(max_examples=30)
@given(
    st.lists(logs, min_size=1, max_size=25),
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
