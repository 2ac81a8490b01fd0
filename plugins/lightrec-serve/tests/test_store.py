"""The store: what counts once, in which order, together or not at all."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightrec_serve import store as module
from lightrec_serve.store import Feedback, Session, Store, StoreError
from lightrec_serve.tables import ANSWERS, SHOWN, WRITING

Make = Callable[..., Any]
NOON = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp() * 1000)


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
            store._call(module._Call({}, Future()))
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


def test_everything_survives_closing(url: str, event: Make, answer: Make) -> None:
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
def test_an_event_counts_once_in_its_session(lite: Store, calls: list, event: Make) -> None:
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


def test_a_history_is_the_newest_of_a_users_sessions(store: Store, event: Make) -> None:
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


def test_32_threads_that_send_the_same_count_it_once(store: Store, event: Make) -> None:
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


def test_a_failed_transaction_reaches_all_its_callers_and_leaves_nothing(
    lite: Store, event: Make, answer: Make
) -> None:
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


def test_closing_writes_what_waits_and_refuses_what_comes_after(
    url: str, event: Make, answer: Make
) -> None:
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


def test_closing_says_what_could_not_be_written(lite: Store, answer: Make) -> None:
    with lite.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE serve_shown")
    lite.answered(answer("a"))
    with pytest.raises(StoreError, match=r"no such table: serve_shown.*Answers that are lost: 1"):
        lite.close()


def test_no_more_waits_than_there_is_room_for(
    lite: Store, monkeypatch: pytest.MonkeyPatch, answer: Make
) -> None:
    def note(id: str) -> str:
        try:
            lite.answered(answer(id))
        except StoreError as error:
            return str(error)
        return ""

    monkeypatch.setattr(module, "WAITING", 5)
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with held_up(lite):
        # The writer may have taken the first ones.
        noted = [note(str(number)) for number in range(20)]
    monkeypatch.undo()
    assert 5 <= noted.count("") <= 12
    assert noted[-1].startswith("5 calls wait to be written to sqlite:///")
    lite.flush()
    assert rows(lite, ANSWERS) == noted.count("")
