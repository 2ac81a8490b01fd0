"""What the store makes of its records: an operator's numbers, and what is exported."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from lightrec_serve import records
from lightrec_serve.numbers import numbers, share_of, wilson
from lightrec_serve.records import export
from lightrec_serve.store import Session, Store

from lightrec.__main__ import main
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import read_tables
from lightrec.data.schema import LOG_SCHEMA
from lightrec.errors import DataError
from tests.asking import NOON, answer, event

DAY = date(2026, 11, 27)
HALF_A_DAY = 43_200_000


def test_wilson_is_that_of_its_formula():
    # The ends are the roots of (p - share)² = z² p (1 - p) / n.
    for successes, trials in ((0, 5), (1, 10), (7, 7), (300, 1000)):
        low, high = wilson(successes / trials, trials)
        for end in (low, high):
            spread = 1.959963984540054**2 * end * (1 - end) / trials
            assert (end - successes / trials) ** 2 == pytest.approx(spread, abs=1e-12)
        assert 0 <= low <= successes / trials <= high <= 1
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("places", [1, 7])
def test_an_interval_goes_by_people_and_not_by_what_each_of_them_repeats(places):
    # 30 of 100 people take all that they are shown, which tells no more than one place of each.
    squares = 100 * places**2, 30 * places**2, 30 * places**2
    expected = 0.3, *wilson(0.3, 99)
    assert share_of(100, 100 * places, 30 * places, squares) == pytest.approx(expected)
    assert share_of(5, 50, 0, (500, 0, 0)) == (0, *wilson(0, 5))
    assert share_of(0, 0, 0, (0, 0, 0)) == (0, 0, 1)


def test_numbers_are_counted_by_arm(store):
    for n in range(100):
        store.answered(answer(f"a{n}", ["i", "j", f"k{n % 7}"], latency_ms=100.0 - n))
        store.answered(answer(f"b{n}", ["i"], NOON - 1, arm="policy", latency_ms=None))
    store.answered(answer("empty", [], arm="policy"))
    # The first one is taken twice, and shown once.
    taken = [("i", "a0"), ("i", "a0"), ("j", "a0"), ("other", "a1"), ("i", None), ("i", "b0")]
    store.feedback([event(str(n), item, answer=id) for n, (item, id) in enumerate(taken)])
    store.feedback([event("dismissed", "i", answer="a1", kind="dismissed")])
    blend, policy = numbers(store)
    assert (blend.arm, blend.answers, blend.shown) == ("blend", 100, 300)
    assert (blend.accepted, blend.items) == (2, 9)
    assert (blend.people, blend.rate) == (1, 2 / 300)
    assert (blend.low, blend.high) == wilson(2 / 300, 1)
    assert blend.latency_ms == (50.0, 95.0, 99.0)
    assert (policy.answers, policy.shown, policy.accepted, policy.items) == (101, 100, 1, 1)
    assert policy.latency_ms == ()
    late = numbers(store, since=NOON)
    assert late[0] == blend
    assert (late[1].answers, late[1].shown, late[1].rate, late[1].high) == (1, 0, 0, 1)


def test_trials_are_of_no_log_number_or_history_but_their_own(store, tmp_path):
    for session in ("tried", "real"):
        store.begin(Session(session, "u", "blend", NOON, session == "tried"))
        store.answered(answer(f"of {session}", [f"{session}1", "x"], session=session))
        store.feedback([event("1", f"{session}1", session, answer=f"of {session}")])
    assert [item for item, *_ in store.happened("new", "u")[0]] == ["real1"]
    for trial, session in ((True, "tried"), (False, "real")):
        (counted,) = numbers(store, trial=trial)
        assert (counted.answers, counted.accepted, counted.feedback) == (1, 1, {"accepted": 1})
        for file in export(store, tmp_path / session, trial=trial):
            assert pl.read_parquet(file)["session"].unique().to_list() == [session]


def test_feedback_becomes_a_log_that_is_read(store, url, tmp_path, capsys):
    store.answered(answer("a", ["x", "y"]))
    store.feedback(
        [
            event("1", "y", answer="a", time=NOON + 5),
            event("2", "z", value=3.0, kind="rating", time=NOON + 4),
            event("3", "x", answer="a", time=NOON + HALF_A_DAY),
        ]
    )
    renamed = ["--kinds", "{accepted: click}"]
    assert main(["served", url.removeprefix("sqlite:///"), str(tmp_path / "out"), *renamed]) == 0
    files = list(map(Path, capsys.readouterr().out.split()))
    assert len(files) == 3
    log = read_tables(tmp_path / "out" / "log").log
    assert log.events.schema == LOG_SCHEMA
    assert InteractionLog.read_parquet(files[0]).events.equals(log.events[:2])
    assert log.events.drop("propensity", "candidates", "count").rows() == [
        ("u", "z", at(NOON + 4), "rating", 3.0, "s", None, None),
        ("u", "y", at(NOON + 5), "click", None, "s", "a", 2),
        ("u", "x", at(NOON + HALF_A_DAY), "click", None, "s", "a", 1),
    ]
    # A log with propensities would keep every repetition of the log that it is appended to.
    assert not log.has("propensity")


def at(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_what_was_shown_has_what_its_feedback_was_worth(url, tmp_path):
    worth = {"click": 1.0, "buy": 5.0, "skip": -1.0, "seconds": 0.1}
    with Store(url) as store:
        store.note_worth(worth)
        store.answered(
            answer("b", ["v", "w"], NOON + 1, arm="policy", propensities=(1.0000001, None))
        )
        store.answered(answer("a", ["v", "w", "x", "y", "z"]))
        store.feedback(
            [
                event("1", "v", answer="a", kind="click"),
                event("2", "v", answer="a", kind="buy"),
                event("3", "v", answer="a", kind="skip"),
                event("4", "w", answer="a", kind="skip"),
                event("5", "x", answer="a", kind="seconds", value=20.0),
                event("6", "y", answer="a", kind="dismissed"),
                event("8", "y", answer="a", kind="worth 1 as of a log", value=0.5),
                # Later than the day: it counts on the day on which the item was shown.
                event("7", "v", answer="b", kind="click", time=NOON + HALF_A_DAY),
            ]
        )
        files = export(store, tmp_path, DAY)
    shown = pl.read_parquet(files[1])
    columns = ["impression", "position", "item", "value", "propensity", "arm"]
    assert shown.select(columns).rows() == [
        ("a", 1, "v", 5.0, 0.5, "blend"),
        ("a", 2, "w", -1.0, 0.5, "blend"),
        ("a", 3, "x", 2.0, 0.5, "blend"),
        ("a", 4, "y", 0.5, 0.5, "blend"),
        ("a", 5, "z", 0.0, 0.5, "blend"),
        ("b", 1, "v", 1.0, 1.0, "policy"),
        ("b", 2, "w", 0.0, None, "policy"),
    ]
    assert shown["time"].to_list() == [at(NOON)] * 5 + [at(NOON + 1)] * 2
    log = read_tables(files[1].parent).log
    assert log.place.ignored == ("arm", "ranked_by", "slate_log_probability")
    assert log.events.equals(shown.select(list(LOG_SCHEMA)))


def test_what_a_service_noted_of_worth_holds_for_whoever_exports(url, tmp_path):
    def values(kinds=None):
        with Store(url) as store:
            assert numbers(store)[0].accepted == 3
            return pl.read_parquet(export(store, tmp_path, DAY, kinds)[1])["value"].to_list()

    with Store(url) as store:
        store.answered(answer("a", ["v", "w", "x", "y"]))
        kind_of = {"v": "view", "w": "skip", "x": "accepted", "y": "buy"}
        store.feedback([event(i, i, answer="a", kind=kind) for i, kind in kind_of.items()])
    assert values() == [1, -1, 1, 1]
    with Store(url) as store:
        store.note_worth({"view": 0.2, "buy": 1.0})
        store.note_worth({"view": 0.1})
    assert values() == [0.1, -1, 1, 1]
    assert values({"accepted": "view"}) == [0.1, -1, 0.1, 1]


def test_an_export_is_the_same_again_and_appears_whole(store, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROWS", 7)
    for n in range(20):
        store.answered(answer(str(n), time=NOON + n % 3))
        store.feedback([event(str(n), answer=str(n), time=NOON + n % 3)])
    folder = tmp_path / "out"
    files = export(store, folder, DAY)
    before = [file.read_bytes() for file in files]
    assert [pl.read_parquet(file).height for file in files] == [20, 40]
    assert export(store, folder) == files
    assert [file.read_bytes() for file in files] == before
    assert export(store, folder, date(2020, 1, 1)) == []

    def stop(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.pq.ParquetWriter, "write_table", stop)
    with pytest.raises(DataError, match="cannot be written \\(No space left on device\\)"):
        export(store, folder, DAY)
    assert [file.read_bytes() for file in files] == before
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(files)
