"""The client in Python: tables of any size, what is sent again, and what is refused."""

from datetime import UTC, datetime

import httpx
import polars as pl
import pytest
from lightrec_serve import client as module
from lightrec_serve.client import Client, Refused


@pytest.fixture
def asked(client):
    """A client of a service whose first answer may be another one."""
    first = []

    def answer(request):
        if first:
            if isinstance(first[0], Exception):
                raise first.pop(0)
            return first.pop(0)
        sent = {"content": request.read(), "headers": request.headers}
        answer = http.request(request.method, str(request.url), **sent)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    transport = httpx.MockTransport(answer)
    with client() as http, Client("http://testserver", transport=transport) as opened:
        yield opened, first


def test_tables_are_brought_in_by_parts_and_again_as_a_whole(asked, monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 3)
    client, _ = asked
    items = pl.DataFrame({"item": range(8), "title": [f"tea of day {n}" for n in range(8)]})
    assert client.put_items(items.with_columns(kind=pl.lit("tea"))) == 8
    client.ask("DELETE", "/items", {"items": ["7", "none", "6", "5"]})
    assert client.ask("GET", "/items/4")["attributes"]["kind"] == "tea"
    time = datetime(2026, 11, 27, tzinfo=UTC)
    events = pl.DataFrame({"user": [3] * 5, "item": range(5), "time": [time] * 5, "value": None})
    assert client.feedback(events) == {"stored": 5, "known": 0, "waiting": 0}
    assert client.feedback(events) == {"stored": 0, "known": 5, "waiting": 0}
    assert len(client.ask("GET", "/people/3")["feedback"]) == 5
    shown = client.recommend("3", k=60)
    assert not {str(n) for n in range(8)} & {place["item"] for place in shown["items"]}
    assert client.feedback([{"session": shown["session"], "item": "i5"}])["stored"] == 1
    assert len(client.ask("GET", "/items/i5/similar", k=4)) == 4
    assert client.ask("DELETE", "/people/3")["feedback"] == 6
    with pytest.raises(Refused, match="'colour' is not an attribute of the users") as refused:
        client.put_users([{"user": "ann", "colour": "red"}])
    assert refused.value.status == 422


def test_what_is_refused_for_the_moment_is_sent_again(asked, monkeypatch):
    client, first = asked
    now, slept = [0.0], []

    def sleep(wait):
        slept.append(wait)
        now[0] += wait

    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "sleep", sleep)
    busy = httpx.Response(503, headers={"retry-after": "7"}, json={"error": "Busy."})
    first += [busy, httpx.ConnectError("refused"), httpx.Response(503, text="a proxy says no")]
    assert client.recommend(k=2)["items"]
    assert slept == [7, 1, 1]
    first += [busy] * 9
    with pytest.raises(Refused, match="Busy"):
        client.recommend(k=2)
    assert slept[3:] == [7] * 4, "for half a minute"
    first.clear()
    client.patience, client.fallback = 0, 2
    kept = {user: client.recommend(user, k=3) for user in (None, "u3", "u4")}
    client.recommend(session=kept["u4"]["session"], more=True)  # which is no stranger's
    for user, same in (("u4", "u4"), ("u3", None), (None, None)):
        first.append(busy)
        given = client.recommend(user, k=2)
        assert given["items"] == kept[same]["items"][:2]
        assert given["degraded"]
        assert (given["session"] == kept[same]["session"]) == (user == same), "another one's"
    first.append(busy)
    with pytest.raises(Refused, match="Busy"):
        client.recommend("u4", exclude=["i1"])
