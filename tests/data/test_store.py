"""The memory-mapped form: histories, parts, pickling; how files and folders of runs appear."""

import json
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import tiny
from polars.testing import assert_frame_equal

from lightrec.api import DataError, InteractionLog
from lightrec.data.files import appearing, is_url, save_tensors, without_password
from lightrec.data.store import CONTEXT, TEST, TRAIN, EventStore, pieces
from lightrec.encoders.base import Encoder, encoded
from lightrec.ranking.ranker import Ranker
from tests.users.stores import prepared


@pytest.fixture
def store(tmp_path):
    """Ann took 1 2 3 4, Bob 2, Cid 3 4."""
    events = {"user": list("aaaabcc"), "item": list("1234234")}
    return prepared(events, tmp_path / "store")


def test_histories(store):
    assert store.users_of(store.events(TEST)).tolist() == [0, 2]
    assert (len(store), store.num_users, store.num_items) == (7, 3, 4)
    assert (store.candidates, store.has_nothing) == (None, False)
    users = np.array([0, 0, 1, 2, 2])
    ends = np.array([4, 2, 4, 5, 7])
    expected = [[2, 3, 4], [0, 1, 2], [0, 0, 0], [0, 0, 0], [0, 3, 4]]
    assert store.histories(users, ends, 3).tolist() == expected
    assert store.histories(users, ends, 3).dtype == np.int64
    assert store.histories(users, ends, 0).shape == (5, 0)


def test_workers_share_it(store):
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert isinstance(again.items, np.memmap)
    assert np.array_equal(again.items, store.items)
    with pytest.raises(ValueError, match="read-only"):
        again.items[0] = 5


def test_an_older_format_is_refused_with_the_command_that_makes_it_anew(store, tmp_path):
    with pytest.raises(DataError, match="holds no prepared log"):
        EventStore(tmp_path)
    (store.folder / "meta.json").write_text(json.dumps({**store.meta, "version": 1}))
    sentence = "has format version 1, and this .* 4 and 5. Make it again with `lightrec run {}"
    with pytest.raises(DataError, match=sentence.format("RECIPES")):
        EventStore(store.folder)
    stamp = {"fingerprint": "f", "command": "lightrec run video --offline"}
    (store.folder / "stage.json").write_text(json.dumps(stamp))
    with pytest.raises(DataError, match=sentence.format("video --offline")):
        EventStore(store.folder)


def test_a_whole_log_holds_nothing_out_and_one_of_format_version_4_is_read_without_targets(
    tmp_path,
):
    """Ann took 1 2 and skipped 3, Bob took 2 1: the last wanted event of each is held out."""
    kinds = ["play", "play", "skip", "play", "play"]
    events = {"user": list("aaabb"), "item": list("xyzyx"), "time": range(5), "feedback": kinds}
    new = prepared(events, tmp_path / "store", weights={"play": 1, "skip": -1})
    # Nothing is held out of the whole log.
    whole = [TRAIN, TRAIN, CONTEXT, TRAIN, TRAIN]
    assert new.whole.parts.tolist() == whole
    assert new.whole.popularity().tolist() == [0, 2, 2, 0]
    (new.folder / "targets.npy").unlink()
    # Nothing else that version 5 notes was there.
    same = ("item_kinds", "user_kinds", "has_nothing", "has_users", "order", "feedback")
    names = ("goal", "weights", "repeats", "domain", "equal_times")
    meta = {name: new.meta[name] for name in same} | {"version": 4}
    meta["settings"] = {name: new.meta["settings"][name] for name in names}
    meta["counts"] = {name: new.meta["counts"][name] for name in ("items", "cold")}
    (new.folder / "meta.json").write_text(json.dumps(meta))
    store = EventStore(new.folder)
    assert store.leads is None
    histories = store.histories(np.array([0, 1]), store.offsets[1:], 3)
    assert histories.tolist() == [[1, 2, 3], [0, 2, 1]]
    assert store.session_offsets.tolist() == [0, 3, 5]
    assert store.log["feedback"].to_list()[2] == "skip"
    assert store.parts.tolist() == [TRAIN, TEST, CONTEXT, TRAIN, TEST]
    assert store.whole.parts.tolist() == whole


def test_only_kinds_that_are_left_are_numbered(tmp_path):
    kinds = ["play", "skip", "purchase", "play", "skip"]
    events = {"user": list("aaaab"), "item": list("12342"), "feedback": kinds}
    store = prepared(events, tmp_path / "s", weights={"skip": 1, "purchase": 2})
    assert store.feedback_kinds == ["skip", "purchase"]
    assert store.feedback.tolist() == [1, 2, 1]
    one = prepared(events, tmp_path / "one", weights={"skip": 1})
    assert (one.feedback, one.feedback_kinds) == (None, [])


def test_sessions_are_those_of_the_log_else_parted_by_half_an_hour(tmp_path):
    minute = 60
    events = {
        "user": list("aaaabb"),
        "item": list("123412"),
        "time": [0, 30 * minute, 61 * minute, 62 * minute, 0, 1],
    }
    plain = prepared(events, tmp_path / "plain")
    assert not plain.has_sessions
    assert plain.session_offsets.tolist() == [0, 2, 4, 6]
    named = pl.DataFrame({**events, "session": ["x", "x", "x", "y", "y", None]})
    by_name = prepared(named, tmp_path / "named")
    assert by_name.has_sessions
    assert by_name.session_offsets.tolist() == [0, 3, 4, 6]
    assert by_name.sessions_of(np.arange(6)).tolist() == [0, 0, 0, 1, 2, 2]
    session, places = pieces(np.array([1, 3, 4]), np.array([3, 3, 6]))
    assert session.tolist() == [0, 0, 2, 2]
    assert places.tolist() == [1, 2, 4, 5]
    untimed = prepared(pl.DataFrame(events).drop("time"), tmp_path / "untimed")
    assert untimed.session_offsets.tolist() == [0, 4, 6]


EVENTS = pl.DataFrame(
    {
        "user": ["b", "a", "a", "b"],
        "item": ["x", "y", None, "x"],
        "time": [1, 3, 2, 2],
        "feedback": ["play", "play", "skip", "buy"],
        "value": [0.1, None, -2.5, 1 / 3],
        "count": [None, 2**40, None, 1],
        "session": ["s1", "s2", None, "s1"],
        "impression": ["i1", "i2", "i3", "i4"],
        "position": [1, 0, None, 3],
        "propensity": [0.1 + 0.2, 5e-324, 1.0, None],
        "candidates": [["x"], ["x", "y"], ["y"], ["y", "x"]],
    }
)


def test_every_event_keeps_what_the_log_says(tmp_path):
    store = prepared(EVENTS, tmp_path / "store")
    # By user, then time.
    expected = InteractionLog(EVENTS).events[[2, 1, 0, 3]].select(store.log.columns)
    assert_frame_equal(store.log.cast({"feedback": pl.Categorical}), expected, check_exact=True)
    assert {*EVENTS.columns} - {*store.log.columns} == {"user", "item", "time", "candidates"}
    assert [*store.log["feedback"]] == ["skip", "play", "play", "buy"]
    assert store.candidates.tolist() == [[2, 0], [1, 2], [1, 0], [2, 1]]
    # Columns that the log does not know are not there.
    plain = prepared(EVENTS.select("user", "item")[[0, 1]], tmp_path / "b")
    assert plain.log.columns == ["feedback"]


def test_events_kept_out_are_not_in_the_filtered_log(tmp_path):
    count = 40
    events = {
        "user": [f"u{row % 4}" for row in range(count)],
        "item": [f"i{row % 10}" for row in range(count)],
        "value": [float(row) for row in range(count)],
    }
    store = prepared(events, tmp_path / "s", split="item-cold")
    seen = store.without_cold
    assert 0 < len(seen) < len(store)
    assert seen.log.height == len(seen)
    assert seen.log["value"].to_list() == seen.strengths.tolist()
    assert pickle.loads(pickle.dumps(seen)).log.equals(seen.log)


@pytest.fixture(params=[(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def mode(request) -> int:
    """The mode of new files under a umask that holds for the test."""
    umask, expected = request.param
    before = os.umask(umask)
    yield expected
    os.umask(before)


def modes(folder) -> set[int]:
    return {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}


class Lengths(Encoder):
    size, fingerprint = 1, "lengths"

    def encode(self, values):
        return torch.tensor([[float(len(value))] for value in values])


def test_parts_that_are_saved_twice_and_cached_vectors_follow_the_umask(
    tmp_path, mode, monkeypatch
):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path / "cache"))
    assert encoded(Lengths(), ["tea"], ["i"]).tolist() == [[3.0]]
    for _ in range(2):
        Ranker(5, size=4).save_pretrained(tmp_path)
        tiny.tiny_user_model().save_pretrained(tmp_path / "users_a")
        save_tensors({"a": torch.zeros(3, 2).T}, tmp_path / "a.safetensors")
        assert modes(tmp_path) == {mode}


def test_all_files_of_a_run_have_one_mode(tiny_run):
    assert len(modes(tiny_run)) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@host/db#t", "postgresql://me:***@host/db#t"),
        ("postgresql://:s3cret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me:s3/cr@et@host/db", "postgresql://me:***@host/db"),
        ("MySQL+pymysql://host/db?Passwd=s3cret&x=1", "MySQL+pymysql://host/db?Passwd=***&x=1"),
        ("mssql+pyodbc://host/db?driver=x;PWD=s3cret", "mssql+pyodbc://host/db?driver=x;PWD=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret", "mssql+pyodbc:///?odbc_connect=***"),
        ("snowflake://me@host/db?access_token=s3cret", "snowflake://me@host/db?access_token=***"),
        ("postgresql://host:5432/db#SELECT '@'", "postgresql://host:5432/db#SELECT '@'"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert is_url(url)
    assert without_password(url) == shown
    # A path has lost a slash.
    assert without_password(str(Path(url))) == str(Path(shown))


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "cache" / "set"
    with pytest.raises(IsADirectoryError), appearing(target) as part:
        part.write_text("a failure half way")
    assert list(target.parent.iterdir()) == []
    with appearing(target) as part:
        (part / "file").write_text("first")
        assert not target.exists()
    # Another process was quicker: its folder stays.
    with appearing(target) as part:
        (part / "file").write_text("second")
    assert (target / "file").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["set"]
