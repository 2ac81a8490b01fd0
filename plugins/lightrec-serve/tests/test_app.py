"""The service over HTTP, on a tiny run: what it answers and what it keeps."""

import asyncio
import json
import math
import shutil
import weakref
from functools import cache
from types import SimpleNamespace

import httpx
import polars as pl
import pytest
from lightrec_export.worth import worth_in
from lightrec_serve.commands import served
from lightrec_serve.engine import Query
from lightrec_serve.run_engine import RunEngine
from lightrec_testing import tiny

from lightrec.__main__ import main
from lightrec.data.catalog import Users
from lightrec.errors import RunError
from lightrec.recommend import Recommender
from tests.asking import items, kept, put, send, slate_of


@pytest.fixture(scope="session")
def recommender(tiny_run):
    return cache(lambda by=None: Recommender(tiny_run, by))


@pytest.mark.parametrize(
    "ask",
    [
        {"user": "u3"},
        {"history": ["i5", "tea number 6"]},
        {"user": "u3", "exclude": ["kind=song", "i16"]},
        {"history": ["i1"], "only": ["kind=tea"], "discover": True},
        {"user": "u5", "k": 60},
        {"user": "u3", "by": "mixture"},
        {"user": "u3", "by": "even-mixture"},
    ],
    ids=lambda ask: "-".join(ask),
)
def test_a_slate_is_what_recommend_gives(client, recommender, ask):
    with client() as http:
        slate = slate_of(http, **ask)
    by = ask.pop("by", None)
    expected = recommender(by).recommend(**ask)
    assert by in (None, slate["by"])
    assert items(slate) == expected["item"].to_list()
    assert [place["title"] for place in slate["items"]] == expected["title"].to_list()
    scores = [place["score"] for place in slate["items"]]
    assert scores == pytest.approx(expected["score"].to_list(), rel=1e-4, abs=1e-4)
    assert all(place["propensity"] == 1 for place in slate["items"])


def test_what_was_served_is_exported_at_the_worth_that_the_run_gives_it(
    client, tiny_run, tmp_path, capsys
):
    engine = RunEngine(tiny_run)
    assert engine.worth == dict.fromkeys(engine.store.feedback_kinds, 1.0)
    meta = {"settings": {"weights": {"view": 0.1, "purchase": 1.0}}}
    shop = SimpleNamespace(feedback={"view": 0.5, "return": -1.0})
    engine.worth = worth_in(SimpleNamespace(domain=shop, data=SimpleNamespace(meta=meta)))
    assert engine.worth == {"view": 0.1, "purchase": 1.0, "return": -1.0}
    with client(lambda: engine) as http:
        slate = slate_of(http, user="u1", k=2)
        send(http, slate, items(slate)[0], "view", "1")
    served(str(tmp_path / "served.db"), tmp_path / "out")
    shown = pl.read_parquet(tmp_path / "out" / "shown" / "*.parquet")
    assert shown["value"].to_list() == [0.1, 0.0]
    assert capsys.readouterr().err == ""


def test_a_session_goes_on_after_a_restart(client):
    with client() as http:
        slate = slate_of(http, user="u3")
        one, other = items(slate)[:2]
        send(http, slate, one, "accepted", "1")
        send(http, slate, other, "dismissed", "2")
        put(http, "new", title="A new lamp", text="A lamp.", attributes={"kind": "lamp"})
        http.request("DELETE", "/items", json={"items": ["i40"]})
        before = slate_of(http, session=slate["session"], k=60)
        fresh = slate_of(http, user="u3", k=60)
    with client() as http:
        assert items(slate_of(http, session=slate["session"], k=60)) == items(before)
        after = slate_of(http, user="u3", k=60)
    assert "new" in items(before)
    assert "i40" not in items(before)
    # Another session knows what was accepted in the first; what was dismissed may come again.
    assert items(after) == items(fresh)
    assert one not in items(after)
    assert other in items(after)


def test_a_session_outlives_the_items_and_the_arm_that_it_met(client, tiny_run):
    with client() as http:
        put(http, "new", text="tea")
        slate = slate_of(http, user="u3", k=49)
        send(http, slate, "new", "accepted", "1")
        http.request("DELETE", "/items", json={"items": ["new"]})
        send(http, slate, "new", "accepted", "2")  # shown before it was deleted
    with client() as http:
        assert "new" not in items(slate_of(http, session=slate["session"], k=60))
        assert len(slate_of(http, user="u3")["items"]) == 10
    with client(lambda: RunEngine(tiny_run), lambda: RunEngine(tiny_run), weights=(0, 1)) as http:
        mine = slate_of(http, user="u9")
        assert mine["arm"] == "arm-1"
    with client() as http:
        refused = http.post("/recommend", json={"session": mine["session"]})
        assert refused.status_code == 409
        send(http, mine, items(mine)[0], "accepted", "3")  # what was done was done


@pytest.mark.slow
def test_fifty_sessions_at_once_do_not_disturb_each_other(client, recommender):
    with client() as http:
        app = http.app

        async def visit(number, asynchronous):
            session, accepted, gone, user = None, [], [], f"u{number % tiny.USERS}"
            for step in range(4):
                ask = {"user": user, "session": session, "k": 20}
                answer = (await asynchronous.post("/recommend", json=ask)).json()
                session = answer["session"]
                expected = recommender().recommend(user, history=accepted, exclude=gone, k=20)
                assert items(answer) == expected["item"].to_list(), (number, step)
                kind = "dismissed" if (number + step) % 3 == 0 else "accepted"
                item = items(answer)[number % 20]
                event = {"id": str(step), "session": session, "item": item, "kind": kind}
                said = await asynchronous.post("/feedback", json={"events": [event]})
                assert said.json()["stored"] == 1
                (gone if kind == "dismissed" else accepted).append(item)

        async def all_visit():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as some:
                await asyncio.gather(*(visit(number, some) for number in range(50)))

        http.portal.call(all_visit)


def test_an_item_that_is_put_may_come_next_and_one_deleted_does_not(client):
    with client() as http:
        before = items(slate_of(http, user="u3", k=60))
        put(http, "a/b c", title="Tea of today", attributes={"kind": "tea"})
        put(http, "second")
        slate = slate_of(http, user="u3", k=4, new=1)
        assert {*items(slate)} & {"a/b c", "second"} == {items(slate)[-1]}
        assert {*items(slate_of(http, user="u3", k=60))} == {*before, "a/b c", "second"}
        # Also to somebody of whom nothing is known.
        assert "a/b c" in items(slate_of(http, k=2, new=1, only=["kind=tea"]))
        alike = http.get("/items/a%2Fb c/similar", params={"k": 3}).json()
        assert all(place["title"].startswith("tea") for place in alike)
        gone = http.request("DELETE", "/items", json={"items": ["a/b c", "none", before[0]]})
        assert gone.json() == {"items": ["a/b c", before[0]]}
        assert {*items(slate_of(http, user="u3", k=60))} == {*before[1:], "second"}
        assert http.request("DELETE", "/items", json={"items": ["none"]}).status_code == 404
        assert http.get("/items/a%2Fb c/similar").status_code == 404
        put(http, before[0], title="Again")
        assert before[0] in items(slate_of(http, user="u3", k=60))


def test_people_meet_the_arms_by_their_weights_and_for_good(client, tiny_run):
    engine = RunEngine(tiny_run)
    two = (lambda: engine, lambda: engine)
    names = [f"person {number}" for number in range(120)]
    with client(*two, weights=(3, 1)) as http:
        first = [slate_of(http, user=name, k=1)["arm"] for name in names]
        ready = http.get("/ready").json()["arms"]
        assert [ready[f"arm-{n}"]["share"] for n in range(2)] == [0.75, 0.25]
        chosen = slate_of(http, user=names[0], arm="arm-1")
        refused = http.post("/recommend", json={"session": chosen["session"], "arm": "arm-0"})
        assert refused.status_code == 409
        assert http.post("/recommend", json={"arm": "arm-9"}).status_code == 404
        assert 0.01 < http.numbers()[0]["split_p"] < 1
        for name in map(str, range(40)):
            slate_of(http, user=name, k=1, arm="arm-1")
        assert http.numbers()[0]["split_p"] < 1e-4, "something else than the weights splits people"
    # 4 standard deviations of a binomial law.
    assert abs(first.count("arm-1") - 30) < 4 * math.sqrt(120 * 0.25 * 0.75)
    with client(*two, weights=(3, 1)) as http:
        assert [slate_of(http, user=name, k=1)["arm"] for name in names[:20]] == first[:20]


def test_a_session_is_of_one_person_and_what_is_refused_changes_nothing(client):
    event = {"id": "1", "session": "own", "item": "i1"}
    wrong = {"item": "y", "attributes": {"colour": "red"}}
    with client() as http:
        mine, nobody = slate_of(http, user="u1")["session"], slate_of(http)["session"]
        for session in (mine, nobody):
            other = {"user": "u2", "session": session}
            assert http.post("/recommend", json=other).status_code == 409
        strange = {"session": "own", "history": ["no such item"]}
        assert http.post("/recommend", json=strange).status_code == 422
        assert http.post("/feedback", json={"events": [event]}).status_code == 404
        slate_of(http, session="own")
        both = [event, event | {"id": "2", "item": "no such item"}]
        assert http.post("/feedback", json={"events": both}).status_code == 404
        assert http.post("/feedback", json={"events": [event]}).json()["stored"] == 1
        assert http.put("/items", json={"items": [{"item": "x"}, wrong]}).status_code == 422
        assert len(items(slate_of(http, k=60))) == tiny.ITEMS


def test_a_reload_swaps_and_one_that_fails_changes_nothing(client, tiny_run):
    loads = iter([lambda: RunEngine(tiny_run), lambda: RunEngine(tiny_run, by="policy"), None])

    def load():
        make = next(loads)
        if make is None:
            raise RunError(f"{tiny_run} is broken.")
        return make()

    with client(load) as http:
        put(http, "new", text="tea")
        slate = slate_of(http, user="u3", k=60)
        usual = slate["by"]
        send(http, slate, items(slate)[0], "dismissed", "1")
        assert http.post("/admin/reload", params={"arm": "arm-7"}).status_code == 404
        assert http.post("/admin/reload").json()["by"] == "policy"
        after = slate_of(http, session=slate["session"], k=60)
        assert (usual, after["by"]) == ("blend", "policy")
        assert {*items(after)} == {*items(slate)[1:]}
        failed = http.post("/admin/reload")
        assert failed.status_code == 409
        assert failed.json() == {"error": "The old one answers on. the run is broken."}
        assert items(slate_of(http, session=slate["session"], k=60)) == items(after)


def test_a_session_is_its_persons_by_any_of_their_ids(client, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run", symlinks=True)
    table = pl.DataFrame({"user": ["u3-web"], "person": ["u3"]})
    Users(table).write_parquet(run / "data" / "read" / "users.parquet")
    with client(lambda: RunEngine(run)) as http:
        slate = slate_of(http, user="u3-web", k=5)
        assert items(slate) == items(slate_of(http, user="u3", k=5))
        send(http, slate, items(slate)[0], "accepted", "1")
        again = slate_of(http, user="u3", session=slate["session"], k=5)
        assert items(again)[0] != items(slate)[0]
        http.app.state.service.store.flush()
        stored = kept(http.app.state.service.store, user="u3")
        assert [each.item for each in stored] == items(slate)[:1]


def test_items_that_an_updated_log_has_count_once(tiny_run, recommender):
    recommender = recommender()
    past = recommender.store.items[slice(*recommender.store.offsets[3:5])]
    stored = recommender.catalog["item"][int(past[-2]) - 1]
    engine = RunEngine(tiny_run)
    plain, again = engine.answer([Query("u3"), Query("u3", accepted=(stored, "not any more"))])
    assert again.items == plain.items
    assert again.scores == pytest.approx(plain.scores, rel=1e-5)


def test_what_is_stored_of_a_person_is_told_and_erased(client, tmp_path, capsys):
    with client() as http:
        slate = slate_of(http, user="u3", k=5)
        send(http, slate, items(slate)[0], "dismissed", "wrong")
        stored = http.get("/people/u3").json()
        assert [len(rows) for rows in stored.values()] == [5, 1, 1, 1, 0]
        wrong = {"session": slate["session"], "ids": ["wrong"]}
        assert http.request("DELETE", "/feedback", json=wrong).json() == {"erased": 1}
        again = slate_of(http, session=slate["session"], k=5)
        assert items(again) == items(slate), "what was erased counts no more"
        assert http.delete("/people/u3").json()["answers"] == 2
        assert http.get("/people/u3").status_code == http.delete("/people/u3").status_code == 404
        event = {"id": "1", "session": slate["session"], "item": "i1"}
        assert http.post("/feedback", json={"events": [event]}).status_code == 404
        slate_of(http, user="u4", ask="tea", exclude=["i5"])
    assert main(["person", str(tmp_path / "served.db"), "u4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answers"][0]["request"] == "{}", "only what is needed is stored"
    assert main(["person", str(tmp_path / "served.db"), "u3"]) == 2
    for said, options in (("1 of answers", ["--user", "u4"]), ("0 of", ["--before", "2026-01-01"])):
        assert main(["forget", str(tmp_path / "served.db"), *options]) == 0
        assert said in capsys.readouterr().out
    assert main(["forget", str(tmp_path / "served.db")]) == 2


def test_what_is_too_old_is_erased_by_itself(client, monkeypatch):
    monkeypatch.setattr("lightrec_serve.service.WATCHED", 3600)  # it is swept by the test
    with client() as http:
        slate = slate_of(http, user="u3")
        old = {"id": "1", "session": slate["session"], "item": "i1", "time": "2020-01-01"}
        http.post("/feedback", json={"events": [old, old | {"id": "2", "time": None}]})
        service = http.app.state.service
        service.keep = 30
        service._sweep()
        assert [row["id"] for row in http.get("/people/u3").json()["feedback"]] == ["2"]


def test_the_engine_of_a_version_that_is_replaced_leaves_the_memory(client, tiny_run):
    engines = []

    def load():
        engine = RunEngine(tiny_run)
        engines.append(weakref.ref(engine))
        return engine

    with client(load) as http:
        slate_of(http, user="u3")
        for _ in range(2):
            assert http.post("/admin/reload").status_code == 200
        assert [engine() is None for engine in engines] == [True, True, False]


def test_metrics_name_nothing_that_a_client_makes_up(client):
    with client() as http:
        send(http, slate_of(http, session="s"), "i1", "made up", "1")
        http.get("/a")
        metrics = http.get("/metrics").text
    assert 'lightrec_requests_total{path="other",status="404"} 1.0' in metrics
    assert 'lightrec_feedback_total{kind="other"} 1.0' in metrics
