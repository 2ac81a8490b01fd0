"""Two services on one store: what one has acknowledged, the other one knows."""

import random
import signal
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from lightrec_serve.records import export
from lightrec_serve.service import PATIENCE
from lightrec_serve.store import Store

from tests.asking import items, put, send, slate_of


@pytest.fixture
def two(client, url):
    """Clients of two services on one store."""
    with client(store=Store(url)) as one, client(store=Store(url)) as other:
        yield one, other


def test_a_session_goes_on_at_either(two, url):
    one, other = two
    slate = slate_of(one, user="u3", history=["i5"], k=3)
    one.app.state.service.store.flush()
    first, second, third = items(slate)
    send(other, slate, first, "dismissed", "1")
    assert first not in items(slate_of(one, session=slate["session"]))
    send(one, slate, second, "dismissed", "2")
    for client in two:
        shown = items(slate_of(client, session=slate["session"], k=49))
        assert {first, second, "i5"}.isdisjoint(shown)
        assert third in shown


def test_the_other_service_waits_for_what_one_is_still_writing(two):
    one, other = two
    page = slate_of(one, user="u3", k=5)
    following = slate_of(other, session=page["session"], k=5, more=True)
    assert not {*items(page)} & {*items(following)}
    send(one, page, items(page)[0], "accepted", "1")
    sessions = other.get("/people/u3").json()["sessions"]
    assert [each["user"] for each in sessions] == ["u3"]


def test_who_was_erased_at_one_is_forgotten_at_the_other(two):
    one, other = two
    slate = slate_of(one, user="u3", history=["i5"])
    for client in two:
        client.app.state.service.store.flush()
        slate_of(client, session=slate["session"])
    assert other.delete("/people/u3").json()["sessions"] == 1
    slate_of(one, session=slate["session"])
    one.app.state.service.store.flush()
    assert one.get("/people/u3").status_code == 404


def test_many_at_once_find_a_session_that_went_on_elsewhere(two):
    one, other = two
    session = slate_of(one, user="u3")["session"]
    for _ in range(3):
        one.app.state.service.store.flush()
        slate_of(other, session=session)
        other.app.state.service.store.flush()
        with ThreadPoolExecutor(6) as pool:
            ask = {"session": session}
            answers = [pool.submit(one.post, "/recommend", json=ask) for _ in range(6)]
        assert {answer.result().status_code for answer in answers} == {200}


def test_lists_come_without_a_store_that_hangs_and_nothing_is_lost(server, client, tmp_path):
    stores = {"store": Store(server.new_database()), "aside": Store(f"sqlite:///{tmp_path}/a.db")}
    with client(**stores, patience=PATIENCE) as client:
        service = client.app.state.service
        slate = slate_of(client, user="u3")
        event = {"id": "1", "session": slate["session"], "item": items(slate)[0]}
        server.send(signal.SIGSTOP)
        try:
            for ask in ({"session": slate["session"]}, {"user": "u4"}, {"session": "mine"}):
                shown = slate_of(client, **ask)
                assert (shown["degraded"], len(shown["items"])) == (True, 10)
            assert client.get("/ready").json()["store"] == "down"
            assert "lightrec_store_up 0.0" in client.get("/metrics").text
            for _ in range(2):
                kept = client.post("/feedback", json={"events": [event]})
                assert (kept.status_code, kept.json()["waiting"]) == (200, 1)
            strange = event | {"session": "of another process"}
            lost = client.post("/feedback", json={"events": [strange]})
            assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")
        finally:
            server.send(signal.SIGCONT)
        service.reads.wait = service.writes.wait = 60
        service.store.flush()
        client.portal.call(service.inbox.bring)
        sent = client.post("/feedback", json={"events": [event]}).json()
        assert sent == {"stored": 0, "known": 1, "waiting": 0}
        again = slate_of(client, session=slate["session"])
        assert not again["degraded"]
        assert event["item"] not in items(again)
        service.store.flush()
        assert client.get("/numbers").json()[0]["answers"] == 5


def test_one_history_comes_of_what_two_do(two, url, tmp_path):
    draw, events, there, sessions = random.Random(0), 0, {"i1", "i2"}, []
    for step in range(150):
        client = draw.choice(two)
        what = draw.choice(["put", "delete", "slate", "slate", "feedback", "feedback"])
        if what == "put":
            put(client, f"new{step}", text="tea of today")
            there.add(f"new{step}")
        elif what == "delete" and len(there) > 2:
            item = draw.choice(sorted(there - {"i1", "i2"}))
            there.remove(item)
            assert client.request("DELETE", "/items", json={"items": [item]}).status_code == 200
        elif what == "slate":
            candidates = [*there, *(f"new{number}" for number in range(step))]
            slate = slate_of(client, candidates=candidates, exclude=["i1"], k=200)
            assert {*items(slate)} == there - {"i1"}
            client.app.state.service.store.flush()
            sessions.append((slate, draw.choice(items(slate))))
        elif what == "feedback" and sessions:
            slate, item = draw.choice(sessions)
            events += send(client, slate, item, "accepted", f"{draw.randrange(3)}")["stored"]
    store = two[0].app.state.service.store
    logs = [file for file in export(store, tmp_path) if file.parent.name == "log"]
    assert sum(pl.read_parquet(file).height for file in logs) == events > 20
