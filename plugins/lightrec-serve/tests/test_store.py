"""The store: what counts once, in which order, together or not at all."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from lightrec_serve import personal
from lightrec_serve import store as module
from lightrec_serve.store import Session, Store, StoreError
from lightrec_serve.tables import ANSWERS, SESSIONS, SHOWN, WRITING

from tests.asking import NOON, answer, event, kept


def rows(store, table):
    with store.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


@contextmanager
def held_up(store):
    """Keep the store from writing, as another process does that writes."""
    with store.engine.connect() as connection:
        connection.exec_driver_sql(WRITING[store.engine.dialect.name])
        try:
            yield
        finally:
            connection.rollback()


def all_at_once(store, *calls):
    """Make calls that the writer finds waiting together; give what they return or raise."""

    def result(call):
        try:
            return call()
        except StoreError as error:
            return error

    def until(reached):
        while not reached():
            time.sleep(0.001)  # nothing tells when the writer has come so far

    with ThreadPoolExecutor(len(calls)) as pool:
        with held_up(store):
            store._call(module._Call({}, Future()))
            until(lambda: not store._calls)
            futures = [pool.submit(result, call) for call in calls]
            until(lambda: len(store._calls) == len(calls))
        return [future.result() for future in futures]


def test_a_person_a_day_and_an_event_are_erased_and_others_are_not(store):
    for user, when in (("u", NOON), ("v", NOON + 1), ("w", NOON - 1)):
        session = f"of {user}"
        store.begin(Session(session, user, "blend", when))
        store.answered(answer(f"a {user}", session=session, user=user, time=when))
        more = {"session": session, "answer": f"a {user}", "time": when}
        store.feedback([event("1", user=user, **more), event("2", user=None, **more)])
    held = {name: len(rows) for name, rows in personal.person(store, "u").items()}
    assert held == {"shown": 2, "answers": 1, "feedback": 2, "sessions": 1, "users": 0}
    assert personal.erase(store, personal.of_person("u")) == held
    assert not any(personal.person(store, "u").values())
    assert personal.erase(store, personal.before(NOON)) | {"users": 0} == held, "those of w"
    assert personal.erase(store, personal.events("of v", ["2", "3"])) == {"feedback": 1}
    assert [each.id for each in kept(store, session="of v")] == ["1"]
    assert store.feedback([event("2", session="of v")]) == [True], "the right one may come"
    assert {name: len(rows) for name, rows in personal.person(store, "v").items()} == held


def test_a_session_begins_once(store):
    first = Session("s", "u", "blend", NOON)
    assert store.session("s") is None
    assert store.begin(first) == first
    assert store.begin(Session("s", "other", "policy", NOON + 1)) == first
    assert store.session("s") == first


def test_a_reading_sees_one_moment(store):
    """Else a service's numbers broke where an answer came between two of their queries."""
    store.begin(Session("s", "u", "blend", NOON))
    count = sa.select(sa.func.count()).select_from(SESSIONS)
    with store.reading() as connection:
        assert connection.scalar(count) == 1
        store.begin(Session("t", "v", "blend", NOON))
        assert connection.scalar(count) == 1
    assert rows(store, SESSIONS) == 2


def test_everything_survives_closing(url):
    events = [event("1", value=2.5), event("2", "ä\n'", user=None, answer="a")]
    with Store(url) as store:
        store.begin(Session("s", None, "blend", NOON))
        store.answered(answer("a", request={"k": 2}, propensities=(None, 0.25)))
        assert store.feedback(events) == [True, True]
        store.change_items({"new": {"item": "new", "title": "Fargo"}, "old": {"item": "old"}})
    with Store(url) as store:
        assert store.session("s") == Session("s", None, "blend", NOON)
        assert kept(store, session="s") == events
        assert [(change.item, change.row) for change in store.items()] == [
            ("new", {"item": "new", "title": "Fargo"}),
            ("old", {"item": "old"}),
        ]
        with store.engine.connect() as connection:
            row = connection.execute(sa.select(ANSWERS)).one()
            shown = connection.execute(sa.select(SHOWN).order_by(SHOWN.c.position)).all()
    assert (row.id, row.request, row.log_prob) == ("a", '{"k": 2}', -1.5)
    assert list(map(tuple, shown)) == [("a", 1, "i", None), ("a", 2, "j", 0.25)]


def test_an_event_counts_once_in_its_session(store):
    late, first, again = event("1", time=NOON + 1), event("2", "j"), event("1", "k")
    assert store.feedback([late, first, again]) == [True, True, False]
    other, same = event("1", session="other"), event("3", "k")
    assert store.feedback([other, again, same, first]) == [True, False, True, False]
    # Equal times stay in the order in which they came.
    assert kept(store, session="s") == [first, same, late]
    assert kept(store, session="other") == [other]


def test_a_history_is_the_newest_of_a_users_sessions(store):
    events = [event(str(n), f"item {n}", f"s{n % 2}", NOON + n) for n in range(6)]
    store.feedback([*events[::-1], event("x", user="other"), event("y", user=None)])

    def items(*of):
        happened, others = store.happened(*of)
        return [int(item[-1]) for item, _, _ in happened], others

    assert items("s9", "u") == ([0, 1, 2, 3, 4, 5], 6)
    assert items("s1", "u") == ([0, 2, 4, 1, 3, 5], 3), "its own stand last"
    assert items("s9", "u", 2) == ([0, 1], 2), "those that came last"
    assert items("s1", "u", 2) == ([0, 1, 3], 1), "of each"
    assert store.happened("s9", "u")[0][1] == ("item 1", "accepted", NOON + 1)
    assert items("s9", "nobody") == items("s9") == ([], 0)
    assert store.known_of("s1", "u") == (False, True, None, None)
    store.put_users({"u": {"age": 3}, "other": {}})
    store.begin(Session("s9", None, "blend", NOON))
    assert store.known_of("s9", None) == (True, False, None, None)
    assert store.known_of("s9", "u") == (True, True, None, {"age": 3})


def test_items_are_put_and_deleted_and_changes_are_numbered(store):
    store.change_items({"a": {"item": "a"}, "b": {"item": "b"}})
    mark = store.items()[-1].number
    store.change_items({"b": None})
    store.change_items({"a": {"item": "a", "title": "new"}})
    changes = store.items(after=mark)
    assert [(change.item, change.row) for change in changes] == [
        ("b", None),
        ("a", {"item": "a", "title": "new"}),
    ]
    assert store.items() == changes
    assert store.items(after=changes[-1].number) == []


def test_32_threads_that_send_the_same_count_it_once(store):
    def client(thread):
        pairs = []
        for start in range(thread, thread + 40, 2):
            ids = [str(number % 40) for number in (start, start + 1)]
            pairs += zip(ids, store.feedback([event(id) for id in ids]), strict=True)
        return pairs

    with ThreadPoolExecutor(32) as pool:
        pairs = [pair for sent in pool.map(client, range(32)) for pair in sent]
    assert len(pairs) == 32 * 40
    assert sorted(int(id) for id, new in pairs if new) == [*range(40)]
    assert sorted(int(each.id) for each in kept(store, session="s")) == [*range(40)]


def test_a_failed_transaction_reaches_all_its_callers_and_leaves_nothing(lite):
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
    assert kept(lite, session="s") == []
    assert lite.session("s") is None
    # Nobody waited for the answer: it is tried again.
    assert lite.feedback([event("3")]) == [True]
    assert (rows(lite, ANSWERS), rows(lite, SHOWN)) == (1, 2)


def test_closing_writes_what_waits_and_refuses_what_comes_after(url):
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


def test_closing_says_what_could_not_be_written(lite):
    with lite.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE serve_shown")
    lite.answered(answer("a"))
    with pytest.raises(StoreError, match=r"no such table: serve_shown.*Answers that are lost: 1"):
        lite.close()


def test_no_more_waits_than_there_is_room_for(lite, monkeypatch):
    def note(id):
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
