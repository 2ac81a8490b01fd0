"""What the store refuses: values that no database holds, addresses, files and servers."""

import pytest
import sqlalchemy as sa
from lightrec_serve.store import Session, Store, StoreError
from lightrec_serve.tables import ABOUT

from lightrec.errors import DataError
from tests.asking import answer, event


@pytest.mark.parametrize(
    ("make", "fields", "said"),
    [
        (event, {"id": ""}, "The id of a Feedback is ''; expected is text of 1 to 1000 bytes"),
        (event, {"item": "a\0b"}, "The item of a Feedback is 'a\\x00b'"),
        (event, {"user": "ä" * 501}, "text of 1 to 1000 bytes in UTF-8"),
        (event, {"value": float("nan")}, "nan; expected is a number between"),
        (answer, {"propensities": (0.5,)}, "expected is one for each of"),
        (answer, {"propensities": (0.5, 0.0)}, "0.0; expected is a probability above 0"),
        (answer, {"items": ["i", "i"]}, "expected is each item once"),
        (answer, {"log_prob": float("-inf")}, "a finite logarithm of a probability"),
    ],
)
def test_what_no_database_can_hold_is_refused_at_once(make, fields, said):
    make("1")
    with pytest.raises(DataError) as caught:
        make(**{"id": "1", **fields})
    assert said in str(caught.value)


def test_items_that_cannot_be_kept_are_refused_at_once(lite):
    with pytest.raises(DataError, match="cannot be stored as JSON"):
        lite.change_items({"a": {"price": float("nan")}})
    with pytest.raises(DataError, match="The id of item 2 of 2, as 'item', is None; expected is"):
        lite.change_items({"a": {}, None: {}})
    assert lite.items() == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("serve.db", "serve.db is no address of a store; expected is sqlite:///path.db or"),
        ("sqlite://", "is a database in memory, which keeps nothing: name a file"),
        ("postgresql://me:secret@127.0.0.1:1/db", "me:***@127.0.0.1:1/db cannot be opened ("),
        ("postgresql://127.0.0.1:1/db?password=secret", "db?password=*** cannot be opened ("),
    ],
)
def test_an_address_that_cannot_be_used_is_named_without_its_password(url, said):
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_or_may_not_be_written(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("These are notes, and no database at all." * 30)
    with pytest.raises(StoreError, match=r"file is not a database\). The file is something else"):
        Store(f"sqlite:///{other}")
    Store(f"sqlite:///{tmp_path}/serve.db").close()
    with pytest.raises(StoreError, match=r"readonly database\). Give this user the right to write"):
        Store(f"sqlite:///file:{tmp_path}/serve.db?mode=ro&uri=true")


def test_a_database_of_the_first_version_is_brought_up_to_date(url):
    with Store(url) as store, store.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX serve_answers_session")
        connection.exec_driver_sql("ALTER TABLE serve_sessions DROP COLUMN trial")
        connection.exec_driver_sql("INSERT INTO serve_sessions VALUES ('old', 'u', 'blend', 1)")
        connection.execute(ABOUT.update(), {"version": 1})
    for _ in range(2):
        with Store(url) as store:
            assert store.session("old") == Session("old", "u", "blend", 1)
            assert store.begin(Session("new", "u", "blend", 1, trial=True)).trial
            indexes = sa.inspect(store.engine).get_indexes("serve_answers")
            assert "serve_answers_session" in {each["name"] for each in indexes}


def test_a_database_of_a_newer_version_is_refused(url):
    with Store(url) as store, store.engine.begin() as connection:
        connection.execute(ABOUT.update(), {"version": 99})
    with pytest.raises(
        StoreError, match="has tables of version 99, made by a newer lightrec-serve"
    ):
        Store(url)


def test_a_server_says_who_may_not_come_in(server):
    with pytest.raises(StoreError) as caught:
        Store(server.url("postgres", password="wrong secret"))
    assert "password authentication failed" in str(caught.value)
    assert "Look at the user and the password of the address." in str(caught.value)
    assert "wrong secret" not in str(caught.value)
    with pytest.raises(StoreError, match="Make it with `createdb`, or name another one"):
        Store(server.url("nowhere"))


def test_a_server_that_acknowledges_what_it_may_lose_is_refused(server):
    url = server.new_database()
    Store(url.replace("postgresql+psycopg", "postgresql")).close()
    with pytest.raises(StoreError, match="may lose \\(synchronous_commit is off\\): set"):
        Store(f"{url}?options=-csynchronous_commit%3Doff")


def test_a_server_that_comes_back_is_used_again(server):
    """Connections that the server has ended fail the calls that they carry, and no others."""
    with Store(server.new_database()) as store:
        store.feedback([event("1")])
        server.end_connections(store.engine.url.database)
        assert store.feedback([event("2")]) == [True]
        assert [each.id for each in store.oldest(9)] == ["1", "2"]
