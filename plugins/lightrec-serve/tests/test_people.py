"""What is known of people: by all their sessions, outside of any, and by attributes put."""

import polars as pl
from lightrec_serve import records
from lightrec_serve.run_engine import RunEngine
from lightrec_testing import tiny

from lightrec.recommend import Recommender
from tests.asking import items, send, slate_of
from tests.changed import changed


def test_one_session_of_a_person_knows_at_once_what_another_was_told(client):
    with client() as http:
        one, other = (slate_of(http, user="u3") for _ in range(2))
        assert items(one) == items(other)
        taken, refused = items(one)[:2]
        send(http, one, taken, "accepted", "1")
        send(http, one, refused, "dismissed", "2")
        now = items(slate_of(http, session=other["session"]))
        assert taken not in now
        assert refused in now, "what was dismissed in another session may come"
        send(http, slate_of(http), now[0], "accepted", "3")
        assert items(slate_of(http, session=other["session"])) == now
        wrong = {"session": one["session"], "ids": ["1"]}
        assert http.request("DELETE", "/feedback", json=wrong).json() == {"erased": 1}
        assert taken in items(slate_of(http, session=other["session"]))
        send(http, one, now[1], "accepted", "1")  # the right one, under the same id
        corrected = items(slate_of(http, session=other["session"]))
        assert (taken in corrected, now[1] in corrected) == (True, False)


def test_an_event_outside_all_sessions_counts_for_its_person(client, tmp_path):
    event = {"id": "1", "user": "u3", "item": None, "kind": "accepted"}
    with client() as http:
        slate = slate_of(http, user="u3")
        event["item"] = items(slate)[0]
        for known in (0, 1):
            said = http.post("/feedback", json={"events": [event]}).json()
            assert said == {"stored": 1 - known, "known": known, "waiting": 0}
        assert event["item"] not in items(slate_of(http, session=slate["session"]))
        assert event["item"] not in items(slate_of(http, user="u3"))
        both = event | {"session": slate["session"]}
        for wrong in (both, event | {"answer": slate["answer"]}, event | {"user": None}):
            assert http.post("/feedback", json={"events": [wrong]}).status_code == 422
        records.export(http.app.state.service.store, tmp_path)
    (row,) = pl.read_parquet(tmp_path / "log").rows(named=True)
    assert (row["user"], row["item"], row["session"]) == ("u3", event["item"], None)


def test_pages_of_a_session_repeat_nothing(client, monkeypatch):
    with client() as http:
        whole = items(slate_of(http, user="u3", k=60))
        page = slate_of(http, user="u3", k=7)
        seen = items(page)
        for _ in range(2):
            seen += items(slate_of(http, session=page["session"], k=7, more=True))
        assert seen == whole[:21]
        http.app.state.service.store.flush()
        http.app.state.service.sessions.drop("u3")  # as another process, which has shown nothing
        assert items(slate_of(http, session=page["session"], k=7, more=True)) == whole[21:28]
        drawn = {"session": page["session"], "more": True, "explore": True}
        assert http.post("/recommend", json=drawn).status_code == 422


def test_attributes_that_are_put_are_a_persons_profile(client, tiny_run, tmp_path, monkeypatch):
    age = pl.Series([20 + 15 * (row % 4) for row in range(tiny.USERS)])
    facts = {"user_kinds": {"age": "number"}}
    aged = changed(tiny_run, tmp_path / "aged", facts, users={"age": age})
    new, engine, asked = {"user": "ann", "attributes": {"age": 64}}, RunEngine(aged), []
    answer = engine.answer
    monkeypatch.setattr(engine, "answer", lambda q: asked.extend(q) or answer(q))

    def profile(http, **ask):
        slate_of(http, user="ann", **ask)
        return asked[-1].profile

    with client(lambda: engine) as http:
        assert profile(http) is None
        put = http.put("/users", json={"users": [new, new | {"user": "u3"}]})
        assert put.json() == {"users": ["ann", "u3"]}
        slate_of(http, user="u3")
        assert asked[-1].profile == {"age": 64}, "also of somebody whom the log has"
        assert engine.usual.person("u3", None, {"age": 64}).row["age"].to_list() == [64]
        assert profile(http) == {"age": 64}
        assert profile(http, profile={"age": 20}) == {"age": 20}, "what a request says comes first"
        assert [row["user"] for row in http.get("/people/ann").json()["users"]] == ["ann"]
        wrong = [new | {"attributes": {name: 1}} for name in ("age", "colour")]
        refused = http.put("/users", json={"users": wrong})
        assert (refused.status_code, "colour" in refused.json()["error"]) == (422, True)
        assert profile(http) == {"age": 64}, "nothing was stored"
        http.delete("/people/ann")
        assert profile(http) is None


def test_items_people_and_their_past_are_found(client, tiny_run):
    store = Recommender(tiny_run).store
    with client() as http:
        known = http.get("/items/i5").json()
        assert (known["item"], [*known]) == ("i5", ["item", "title", "text", "attributes"])
        assert http.get("/items/none").status_code == 404
        found = http.get("/items", params={"title": "TEA N", "k": 3}).json()
        assert all(each["title"].startswith("tea n") for each in found)
        assert len(found) == 3
        http.request("DELETE", "/items", json={"items": [found[0]["item"]]})
        again = http.get("/items", params={"title": "tea n", "k": 60}).json()
        assert found[0] not in again
        assert {*http.get("/users", params={"begin": "u5"}).json()} == {"u5"} | {
            f"u5{n}" for n in range(10)
        }
        past = http.get("/users/u3/past", params={"k": 4}).json()
        last = store.items[store.offsets[3] : store.offsets[4]][::-1][:4]
        assert [each["item"] for each in past] == store.catalog["item"][last - 1].to_list()
        assert http.get("/users/nobody/past").json() == []
    assert tiny.USERS == 60
