"""What a client asks of the service: slates, feedback and items."""

import asyncio
from datetime import UTC, datetime

from lightrec_serve.store import Answer, Feedback

NOON = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp() * 1000)


def event(id, item="i", session="s", time=NOON, **more):
    """An event of a user who accepts an item."""
    fields = {"answer": None, "user": "u", "kind": "accepted", "value": None} | more
    return Feedback(id=id, session=session, item=item, time=time, **fields)


def answer(id, items=("i", "j"), time=NOON, **more):
    """An answer that shows items, each with even odds."""
    fields = {"session": "s", "user": "u", "arm": "blend", "ranked_by": "policy"}
    fields |= {"log_prob": -1.5, "propensities": (0.5,) * len(items)} | more
    return Answer(id=id, time=time, items=tuple(items), **fields)


def slate_of(client, **ask):
    response = client.post("/recommend", json=ask)
    assert response.status_code == 200, response.text
    return response.json()


async def posted(app, body, gone=None):
    """The status of what asks for a slate, and hangs up at an event; None: never."""
    scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "query_string": b""}
    scope |= {"headers": [(b"content-type", b"application/json")]}
    sent, parts = [], iter([{"type": "http.request"} | body])

    async def receive():
        if (message := next(parts, None)) is None:
            await (gone or asyncio.Event()).wait()
        return message or {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


def kept(store, **wanted):
    """Events of a store that have some values, in the order of their times."""
    every = sorted(store.oldest(1_000_000), key=lambda event: event.time)
    return [each for each in every if wanted.items() <= vars(each).items()]


def items(slate):
    return [place["item"] for place in slate["items"]]


def send(client, slate, item, kind, id):
    event = {"id": id, "session": slate["session"], "item": item, "kind": kind}
    event |= {"answer": slate["answer"]} if item in items(slate) else {}
    response = client.post("/feedback", json={"events": [event]})
    assert response.status_code == 200, response.text
    return response.json()


def put(client, item, **more):
    response = client.put("/items", json={"items": [{"item": item} | more]})
    assert response.status_code == 200, response.text
