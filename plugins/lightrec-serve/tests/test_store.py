"""The store: what counts once, in which order, together or not at all, and what is exported."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightrec_serve import records
from lightrec_serve import store as module
from lightrec_serve.records import wilson
from lightrec_serve.store import Answer, Feedback, Session, Store, StoreError
from lightrec_serve.tables import ABOUT, ANSWERS, SHOWN, WRITING

from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import read_tables
from lightrec.data.schema import LOG_SCHEMA
from lightrec.errors import DataError
from lightrec.evaluation.estimators import IPS, BanditLog, SlateIPS, SlateLog
from lightrec.stages.data import NothingNew, append

DAY = date(2026, 11, 27)
NOON = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp() * 1000)
HALF_A_DAY = 43_200_000


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """A store in SQLite alone, for what does not depend on the database."""
    with Store(f"sqlite:///{tmp_path}/serve.db") as opened:
        yield opened


def event(
    id: str, item: str = "i", session: str = "s", time: int = NOON, **more: object
) -> Feedback:
    fields = {"answer": None, "user": "u", "kind": "accepted", "value": None} | more
    return Feedback(id=id, session=session, item=item, time=time, **fields)


def answer(id: str, items: Sequence[str] = ("i", "j"), time: int = NOON, **more: object) -> Answer:
    fields = {
        "session": "s",
        "user": "u",
        "arm": "blend",
        "propensities": (0.5,) * len(items),
        "log_prob": -1.5,
        "ranked_by": "policy",
    }
    return Answer(id=id, time=time, items=tuple(items), **(fields | more))


def rows(store: Store, table: sa.Table) -> int:
    with store.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


@contextmanager
def held_up(store: Store) -> Iterator[None]:
    """Keep the store from writing, as another process does that writes."""
    with store.engine.connect() as connection:
        connection.exec_driver_sql(WRITING[store.engine.dialect.name])
        try:
            yield
        finally:
            connection.rollback()


def all_at_once(store: Store, *calls: Callable[[], object]) -> list[object]:
    """Make calls that the writer finds waiting together; give what they return or raise."""

    def result(call: Callable[[], object]) -> object:
        try:
            return call()
        except StoreError as error:
            return error

    def until(reached: Callable[[], bool]) -> None:
        while not reached():
            time.sleep(0.001)  # nothing tells when the writer has come so far

    with ThreadPoolExecutor(len(calls)) as pool:
        with held_up(store):
            store._call(module._Call(Future()))
            until(lambda: not store._calls)
            futures = [pool.submit(result, call) for call in calls]
            until(lambda: len(store._calls) == len(calls))
        return [future.result() for future in futures]


# What is stored.


def test_a_session_begins_once(store: Store) -> None:
    first = Session("s", "u", "blend", NOON)
    assert store.session("s") is None
    assert store.begin(first) == first
    assert store.begin(Session("s", "other", "policy", NOON + 1)) == first
    assert store.session("s") == first


def test_everything_survives_closing(url: str) -> None:
    events = [event("1", value=2.5), event("2", "ä\n'", user=None, answer="a")]
    with Store(url) as store:
        store.begin(Session("s", None, "blend", NOON))
        store.answered(answer("a", request={"k": 2}, propensities=(None, 0.25)))
        assert store.feedback(events) == [True, True]
        store.put_items([{"item": "new", "title": "Fargo"}, {"item": "old"}])
    with Store(url) as store:
        assert store.session("s") == Session("s", None, "blend", NOON)
        assert store.events("s") == events
        assert [(change.item, change.row) for change in store.items()] == [
            ("new", {"item": "new", "title": "Fargo"}),
            ("old", {"item": "old"}),
        ]
        with store.engine.connect() as connection:
            found = connection.execute(sa.select(ANSWERS)).one()
            shown = connection.execute(sa.select(SHOWN).order_by(SHOWN.c.position)).all()
    assert (found.id, found.request, found.log_prob) == ("a", '{"k": 2}', -1.5)
    assert list(map(tuple, shown)) == [("a", 1, "i", None), ("a", 2, "j", 0.25)]


numbered = st.builds(
    lambda id, item, time: (str(id), f"item {item}", NOON + time),
    *map(st.integers, (0, 0, 0), (5, 3, 2)),
)
CALLS = count()


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(calls=st.lists(st.lists(st.tuples(st.booleans(), numbered), max_size=6), max_size=6))
def test_an_event_counts_once_in_its_session(lite: Store, calls: list) -> None:
    example = next(CALLS)
    known: dict[tuple[str, str], Feedback] = {}
    for call in calls:
        events = [event(id, item, f"{example} {second}", time) for second, (id, item, time) in call]
        expected = []
        for each in events:
            expected.append((each.session, each.id) not in known)
            known.setdefault((each.session, each.id), each)
        assert lite.feedback(events) == expected
    for session in (f"{example} False", f"{example} True"):
        # Equal times stay in the order in which they came.
        own = sorted((e for e in known.values() if e.session == session), key=lambda e: e.time)
        assert lite.events(session) == own


def test_a_history_is_the_newest_of_a_users_sessions(store: Store) -> None:
    events = [event(str(n), f"item {n}", f"s{n % 2}", NOON + n) for n in range(6)]
    store.feedback([*events[::-1], event("x", user="other"), event("y", user=None)])
    assert store.history("u") == events
    assert store.history("u", before=NOON + 4) == events[:4]
    assert store.history("u", before=NOON + 4, last=2) == events[2:4]
    assert store.history("nobody") == []


def test_items_are_put_and_deleted_and_changes_are_numbered(store: Store) -> None:
    store.put_items([{"item": "a"}, {"item": "b"}])
    mark = store.items()[-1].number
    store.delete_items(["b"])
    store.put_items([{"item": "a", "title": "new"}])
    changes = store.items(after=mark)
    assert [(change.item, change.row) for change in changes] == [
        ("b", None),
        ("a", {"item": "a", "title": "new"}),
    ]
    assert store.items() == changes
    assert store.items(after=changes[-1].number) == []


# Together or not at all.


def test_32_threads_that_send_the_same_count_it_once(store: Store) -> None:
    def client(thread: int) -> list[tuple[str, bool]]:
        found = []
        for start in range(thread, thread + 40, 2):
            ids = [str(number % 40) for number in (start, start + 1)]
            found += zip(ids, store.feedback([event(id) for id in ids]), strict=True)
        return found

    with ThreadPoolExecutor(32) as pool:
        found = [pair for pairs in pool.map(client, range(32)) for pair in pairs]
    assert len(found) == 32 * 40
    assert sorted(int(id) for id, new in found if new) == [*range(40)]
    assert sorted(int(each.id) for each in store.events("s")) == [*range(40)]


def test_calls_that_wait_share_one_commit(store: Store) -> None:
    store.flush()
    commits: list[object] = []
    sa.event.listen(store.engine, "commit", commits.append)
    found = all_at_once(store, *[lambda n=n: store.feedback([event(str(n))]) for n in range(12)])
    assert found == [[True]] * 12
    assert len(commits) == 2  # of the call that held up the writer, and of all others


def test_of_two_copies_in_one_commit_the_first_counts(store: Store) -> None:
    found = all_at_once(store, *[lambda: store.feedback([event("1")]) for _ in range(5)])
    assert sorted(found) == [[False]] * 4 + [[True]]


def test_a_failed_transaction_reaches_all_its_callers_and_leaves_nothing(lite: Store) -> None:
    with lite.engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON serve_feedback WHEN NEW.item = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'bad items are refused'); END"
        )
    calls = [
        lambda: lite.answered(answer("a")),
        lambda: lite.feedback([event("1"), event("2", "bad")]),
        lambda: lite.feedback([event("3")]),
        lambda: lite.begin(Session("s", None, "blend", NOON)),
    ]
    done, *errors = all_at_once(lite, *calls)
    assert done is None
    for error in errors:
        assert isinstance(error, StoreError)
        assert "serve.db cannot be written (bad items are refused)" in str(error)
    assert lite.events("s") == []
    assert lite.session("s") is None
    # Nobody waited for the answer: it is tried again.
    assert lite.feedback([event("3")]) == [True]
    assert (rows(lite, ANSWERS), rows(lite, SHOWN)) == (1, 2)


def test_closing_writes_what_waits_and_refuses_what_comes_after(url: str) -> None:
    store = Store(url)
    for number in range(500):
        store.answered(answer(str(number)))
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.answered(answer("late"))
    with pytest.raises(StoreError, match="is closed"):
        store.feedback([event("late")])
    with Store(url) as store:
        assert rows(store, ANSWERS) == 500


def test_closing_says_what_could_not_be_written(lite: Store) -> None:
    with lite.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE serve_shown")
    lite.answered(answer("a"))
    with pytest.raises(StoreError, match=r"no such table: serve_shown.*Answers that are lost: 1"):
        lite.close()


def test_no_more_waits_than_there_is_room_for(lite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 5)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with held_up(lite):
        # The writer may have taken the first ones.
        noted = [note(lite, str(number)) for number in range(20)]
    monkeypatch.undo()
    assert 5 <= noted.count("") <= 12
    assert noted[-1].startswith("5 calls wait to be written to sqlite:///")
    lite.flush()
    assert rows(lite, ANSWERS) == noted.count("")


def note(store: Store, id: str) -> str:
    try:
        store.answered(answer(id))
    except StoreError as error:
        return str(error)
    return ""


def test_two_stores_on_one_database(store: Store, url: str) -> None:
    with Store(url) as other:
        assert other.feedback([event("1")]) == [True]
        assert store.feedback([event("1"), event("2")]) == [False, True]
        assert [each.id for each in other.events("s")] == ["1", "2"]
        other.put_items([{"item": "a"}])
        assert [change.item for change in store.items()] == ["a"]


# An operator's numbers.


def test_wilson_is_that_of_its_formula() -> None:
    # The ends are the roots of (p - share)² = z² p (1 - p) / n.
    for successes, trials in ((0, 5), (1, 10), (7, 7), (300, 1000)):
        low, high = wilson(successes, trials)
        for end in (low, high):
            spread = 1.959963984540054**2 * end * (1 - end) / trials
            assert (end - successes / trials) ** 2 == pytest.approx(spread, abs=1e-12)
        assert 0 <= low <= successes / trials <= high <= 1
    assert wilson(0, 0) == (0, 1)


def test_numbers_are_counted_by_arm(store: Store) -> None:
    for n in range(100):
        store.answered(answer(f"a{n}", ["i", "j", f"k{n % 7}"], latency_ms=100.0 - n))
        store.answered(answer(f"b{n}", ["i"], NOON - 1, arm="policy", latency_ms=None))
    store.answered(answer("empty", [], arm="policy"))
    store.feedback(
        [
            event("1", "i", answer="a0"),
            event("2", "i", answer="a0"),  # taken twice, shown once
            event("3", "j", answer="a0"),
            event("4", "i", answer="a1", kind="dismissed"),
            event("5", "never shown", answer="a1"),
            event("6", "i"),
            event("7", "i", answer="b0"),
        ]
    )
    blend, policy = store.numbers()
    assert (blend.arm, blend.answers, blend.shown, blend.accepted, blend.items) == (
        "blend",
        100,
        300,
        2,
        9,
    )
    assert (blend.rate, (blend.low, blend.high)) == (2 / 300, wilson(2, 300))
    assert blend.latency_ms == (50.0, 95.0, 99.0)
    assert (policy.answers, policy.shown, policy.accepted, policy.items) == (101, 100, 1, 1)
    assert policy.latency_ms == ()
    late = store.numbers(since=NOON)
    assert late[0] == blend
    assert (late[1].answers, late[1].shown, late[1].rate, late[1].high) == (1, 0, 0, 1)


# What is exported.


def test_feedback_becomes_a_log_that_is_read_and_appended_once(
    store: Store, tmp_path: Path
) -> None:
    store.answered(answer("a", ["x", "y"]))
    store.feedback(
        [
            event("1", "y", answer="a", time=NOON + 5),
            event("2", "z", value=3.0, kind="rating", time=NOON + 4),
            event("3", "x", answer="a", time=NOON + HALF_A_DAY),
        ]
    )
    files = store.export(tmp_path / "out", kinds={"accepted": "click"})
    assert [str(file.relative_to(tmp_path / "out")) for file in files] == [
        "log/2026-11-27.parquet",
        "log/2026-11-28.parquet",
        "shown/2026-11-27.parquet",
    ]
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
    before = read_tables(files[1])
    after = append(before, [log])
    assert after.log.events.height == 3
    with pytest.raises(NothingNew):
        append(after, [log])


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_what_was_shown_has_what_its_feedback_was_worth(url: str, tmp_path: Path) -> None:
    worth = {"click": 1.0, "buy": 5.0, "skip": -1.0, "seconds": 0.1}
    with Store(url, worth) as store:
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
        files = store.export(tmp_path, DAY)
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


def test_estimators_find_what_was_earned(lite: Store, tmp_path: Path) -> None:
    """Two items in both orders: a policy that always shows one first earns that one's clicks."""
    first = {"i": 0.75, "j": 0.25}
    for n in range(400):
        slate = ("i", "j") if n % 4 else ("j", "i")
        own = first[slate[0]]
        log_prob = float(torch.tensor(own).double().log())
        given = answer(f"{n:03}", slate, NOON + n, propensities=(own, own), log_prob=log_prob)
        lite.answered(given)
        if slate[0] == "j":
            lite.feedback([event(str(n), "j", answer=f"{n:03}")])
    shown = pl.read_parquet(lite.export(tmp_path, DAY)[1])
    top = shown.filter(pl.col("position") == 1)
    action = (top["item"] == "j").cast(pl.Int64).to_torch()
    target = torch.tensor([0.0, 1.0]).expand(400, 2)
    rewards = top["value"].to_torch()
    found = IPS()(BanditLog(action, rewards, target, top["propensity"].to_torch()))
    assert found.value == pytest.approx(1)  # all of j's 100 rounds were clicked, at 1 / 0.25
    slates = shown.group_by("impression", maintain_order=True)
    slates = slates.agg("value", pl.col("slate_log_probability").first().exp(), pl.col("item"))
    judged = SlateLog(
        torch.tensor(slates["value"].to_list()),
        slates["slate_log_probability"].to_torch(),
        (slates["item"].list.first() == "j").cast(pl.Float64).to_torch(),
    )
    assert SlateIPS()(judged).value == pytest.approx(1)


def test_an_export_is_the_same_again_and_appears_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ROWS", 7)
    for n in range(20):
        store.answered(answer(str(n), time=NOON + n % 3))
        store.feedback([event(str(n), answer=str(n), time=NOON + n % 3)])
    folder = tmp_path / "out"
    files = store.export(folder, DAY)
    before = [file.read_bytes() for file in files]
    assert [pl.read_parquet(file).height for file in files] == [20, 40]
    assert store.export(folder) == files
    assert [file.read_bytes() for file in files] == before
    assert store.export(folder, date(2020, 1, 1)) == []

    def stop(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.pq.ParquetWriter, "write_table", stop)
    with pytest.raises(DataError, match="cannot be written \\(No space left on device\\)"):
        store.export(folder, DAY)
    assert [file.read_bytes() for file in files] == before
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(files)


# What is refused.


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: event(""), "The id of a Feedback is ''; expected is text of 1 to 1000 bytes"),
        (lambda: event("1", "a\0b"), "The item of a Feedback is 'a\\x00b'"),
        (lambda: event("1", kind="\ud800"), "The kind of a Feedback is '\\ud800'"),
        (lambda: event("1", user="ä" * 501), "text of 1 to 1000 bytes in UTF-8"),
        (lambda: event("1", session=7), "The session of a Feedback is 7"),
        (lambda: event("1", value=float("nan")), "nan; expected is a number between"),
        (lambda: event("1", time=1.5), "1.5; expected is a whole number of milliseconds"),
        (lambda: event("1", time=-1), "a whole number of milliseconds since 1970"),
        (lambda: answer("1", propensities=(0.5,)), "expected is one for each of"),
        (lambda: answer("1", propensities=(0.5, 0.0)), "0.0; expected is a probability above 0"),
        (lambda: answer("1", ["i", "i"]), "expected is each item once"),
        (lambda: answer("1", log_prob=float("-inf")), "a finite logarithm of a probability"),
        (lambda: Session("s", None, None, NOON), "The arm of a Session is None"),
    ],
)
def test_what_no_database_can_hold_is_refused_at_once(
    make: Callable[[], object], said: str
) -> None:
    with pytest.raises(DataError) as caught:
        make()
    assert said in str(caught.value)


def test_what_json_cannot_hold_is_refused_at_once(lite: Store) -> None:
    with pytest.raises(DataError, match="cannot be stored as JSON"):
        lite.put_items([{"item": "a", "price": float("nan")}])
    with pytest.raises(DataError, match="cannot be stored as JSON"):
        lite.answered(answer("a", request={"seen": {1}}))
    with pytest.raises(DataError, match="The id of item 1 of 1"):
        lite.delete_items(["a\0"])
    with pytest.raises(DataError, match="The id of item 2 of 2, as 'item', is None; expected is"):
        lite.put_items([{"item": "a"}, {"id": "b"}])
    assert lite.items() == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("serve.db", "serve.db is no address of a store; expected is sqlite:///path.db or"),
        ("mysql://me:secret@host/db", "mysql://me:***@host/db is no address of a store"),
        ("sqlite://", "is a database in memory, which keeps nothing: name a file"),
        ("sqlite:////no/such/folder/x.db", "(unable to open database file). Look whether its"),
        ("postgresql://me:secret@127.0.0.1:1/db", "me:***@127.0.0.1:1/db cannot be opened ("),
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_or_may_not_be_written(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("These are notes, and no database at all." * 30)
    with pytest.raises(StoreError, match=r"file is not a database\). The file is something else"):
        Store(f"sqlite:///{other}")
    url = f"sqlite:///{tmp_path}/serve.db"
    Store(url).close()
    with pytest.raises(StoreError, match=r"readonly database\). Give this user the right to write"):
        Store(f"sqlite:///file:{tmp_path}/serve.db?mode=ro&uri=true")


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    with Store(url) as store, store.engine.begin() as connection:
        connection.execute(ABOUT.update(), {"version": 99})
    with pytest.raises(
        StoreError, match="has tables of version 99, made by a newer lightrec-serve"
    ):
        Store(url)


def test_a_server_says_who_may_not_come_in(server: Any) -> None:
    with pytest.raises(StoreError) as caught:
        Store(server.url("postgres", password="wrong secret"))
    assert "password authentication failed" in str(caught.value)
    assert "Look at the user and the password of the address." in str(caught.value)
    assert "wrong secret" not in str(caught.value)
    with pytest.raises(StoreError, match="Make it with `createdb`, or name another one"):
        Store(server.url("nowhere"))


def test_a_server_that_acknowledges_what_it_may_lose_is_refused(server: Any) -> None:
    url = server.new_database()
    Store(url.replace("postgresql+psycopg", "postgresql")).close()
    with pytest.raises(StoreError, match="may lose \\(synchronous_commit is off\\): set"):
        Store(f"{url}?options=-csynchronous_commit%3Doff")


def test_a_server_that_comes_back_is_used_again(server: Any) -> None:
    """Connections that the server has ended fail the calls that they carry, and no others."""
    with Store(server.new_database()) as store:
        store.feedback([event("1")])
        server.end_connections(store.engine.url.database)
        assert store.feedback([event("2")]) == [True]
        assert [each.id for each in store.events("s")] == ["1", "2"]
