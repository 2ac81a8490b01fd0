"""What takes long holds up nobody else, is refused where it would take too long, and has bounds."""

import asyncio
import threading
from contextlib import contextmanager
from operator import attrgetter
from types import SimpleNamespace

import pytest
from lightrec_serve import batching, sessions
from lightrec_serve import numbers as module
from lightrec_serve.batching import Busy, Lane
from lightrec_serve.run_engine import RunEngine

from tests.asking import posted, send, slate_of

WISH, MISSPELT = {"ask": "blue tea"}, {"history": ["tea numbr 6"]}
SLOW = {
    "a wish": ("engine.usual.wished", "POST /recommend", WISH),
    "a misspelt name": ("engine.catalog.names._misspelt", "POST /recommend", MISSPELT),
    "a condition": ("engine.catalog._leave", "POST /recommend", {"exclude": "i5"}),
    "another ranker": ("engine.usual.ranked_otherwise", "POST /recommend", {"by": "ranker"}),
    "an explanation": ("engine.explain", "POST /explain", {"item": "i1"}),
    "a new item": ("engine.newcomers.speakers", "PUT /items", {"items": [{"item": "n1"}]}),
    "what is like an item": ("engine.similar", "GET /items/i1/similar", None),
    "an operator's numbers": ("module.numbers", "GET /numbers", None),
}


@contextmanager
def held_up(monkeypatch, owner, name):
    """Let a function wait until the block ends; gives an event that says that it does."""
    entered, go_on, function = threading.Event(), threading.Event(), getattr(owner, name)

    def waiting(*given, **named):
        entered.set()
        assert go_on.wait(60), "whoever was to come first came too late"
        return function(*given, **named)

    monkeypatch.setattr(owner, name, waiting)
    try:
        yield entered
    finally:
        go_on.set()


@pytest.mark.parametrize("what", SLOW)
def test_what_takes_long_holds_nobody_up(client, tiny_run, monkeypatch, what):
    where, route, body = SLOW[what]
    engine, answers = RunEngine(tiny_run), []
    method, path = route.split()
    with client(lambda: engine) as http:
        if path == "/explain":
            body = body | {"session": slate_of(http, user="u3")["session"]}
        parts = SimpleNamespace(engine=engine, module=module)
        owner, _, name = where.rpartition(".")
        with held_up(monkeypatch, attrgetter(owner)(parts), name) as entered:
            slow = threading.Thread(
                target=lambda: answers.append(http.request(method, path, json=body))
            )
            slow.start()
            assert entered.wait(60)
            slate_of(http, user="u3")
            assert not answers
        slow.join()
        assert answers[0].status_code == 200, answers[0].text


def test_who_would_wait_for_too_long_is_told_to_come_again(client, monkeypatch):
    with client() as http:
        slate = slate_of(http, user="u3")
        monkeypatch.setattr(batching, "LATER", -1)
        monkeypatch.setattr(batching, "SOON", -1)
        for path, body in (
            ("/explain", {"session": slate["session"], "item": "i1"}),
            ("/recommend", {"user": "u3"}),
            ("/recommend", WISH),
        ):
            refused = http.post(path, json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "try again in a moment" in refused.json()["error"]
        assert http.get("/numbers").status_code == 503
        monkeypatch.setattr(batching, "LATER", 60)
        assert http.numbers()[0]["answers"] == 1


def test_a_lane_takes_no_more_than_it_gets_done_in_time():
    async def case():
        lane, go_on = Lane("turns"), threading.Event()
        begun = [asyncio.ensure_future(lane.call(go_on.wait)) for _ in range(7)]
        await asyncio.sleep(0)  # of half a second each, until one is done
        with pytest.raises(Busy, match="7 others wait for turns"):
            await lane.call(go_on.wait)
        go_on.set()
        await asyncio.gather(*begun)
        assert await lane.call(lambda: 5) == 5
        lane.close()

    asyncio.run(case())


def test_what_nobody_waits_for_any_more_is_neither_answered_nor_noted(
    client, tiny_run, monkeypatch
):
    engine, answered = RunEngine(tiny_run), []
    answer = engine.answer

    async def case(app, entered):
        body, gone = {"body": b'{"user": "u3"}'}, asyncio.Event()
        stays = asyncio.create_task(posted(app, body))
        await asyncio.to_thread(entered.wait, 60)
        leaves = asyncio.create_task(posted(app, body, gone))
        await asyncio.sleep(0.1)
        gone.set()
        assert await leaves == 499
        return stays

    def noted(queries):
        answered.append(len(queries))
        return answer(queries)

    monkeypatch.setattr(engine, "answer", noted)
    with client(lambda: engine) as http, asyncio.Runner() as runner:
        with held_up(monkeypatch, engine, "answer") as entered:
            stays = runner.run(case(http.app, entered))

        async def status():
            return await stays

        assert runner.run(status()) == 200
        assert (answered, http.numbers()[0]["answers"]) == ([1], 1)


def test_a_session_knows_its_last_events_and_a_restart_knows_the_same(
    client, tiny_run, monkeypatch
):
    monkeypatch.setattr(sessions, "REMEMBERED", 3)
    done, engine = [], RunEngine(tiny_run)
    answer = engine.answer

    def noted(queries):
        done.append([item for item, *_ in queries[0].done])
        return answer(queries)

    with client(lambda: engine) as http:
        slate = slate_of(http)
        for number in range(5):
            send(http, slate, f"i{number + 1}", "accepted", str(number))
        monkeypatch.setattr(engine, "answer", noted)
        slate_of(http, session=slate["session"])
    with client(lambda: engine) as http:
        slate_of(http, session=slate["session"])
    assert done == [["i3", "i4", "i5"]] * 2


def test_an_operators_numbers_that_take_long_are_given_again(client, monkeypatch):
    now, times = [0.0], []
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    with client() as http:
        numbers = module.numbers

        def counted(*of):
            if len(of) > 2:  # else it is counted since the service began
                now[0] += 1  # second, so that they are given again for 30
                times.append(of)
            return numbers(*of)

        monkeypatch.setattr(module, "numbers", counted)
        for hours, later, counts in ((1, 0, 1), (1, 29, 1), (2, 0, 2), (2, 31, 3)):
            now[0] += later
            http.get("/numbers", params={"hours": hours})
            assert len(times) == counts


def test_conditions_read_while_an_item_comes_are_read_again(tiny_run, monkeypatch):
    engine = RunEngine(tiny_run)
    catalog, leave = engine.catalog, engine.catalog._leave

    def slowly(*conditions):
        left = leave(*conditions)
        engine.put("n1", {"title": "tea of the last minute"})
        return left

    monkeypatch.setattr(catalog, "_leave", slowly)
    assert len(catalog.allowed(["i5"], [], None)) == catalog.size + 1
    monkeypatch.setattr(catalog, "_leave", leave)
    assert not catalog.has_read(["i5"], [])
    assert len(catalog.allowed(["i5"], [], None)) == catalog.size + 2
    assert catalog.has_read(["i5"], [])


def test_other_rankers_are_of_the_version_that_answers(tiny_run):
    engine = RunEngine(tiny_run)
    other = engine.recommender("ranker")
    assert (other.by, other.run) == ("ranker", engine.usual.run)
