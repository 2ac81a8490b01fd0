"""The service over HTTP, on a tiny run: what it answers, what it keeps, what it refuses."""

import asyncio
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from lightrec_serve.access import Limits
from lightrec_serve.app import application
from lightrec_serve.engine import Query
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store
from starlette.testclient import TestClient

from lightrec.data.domain import Domain
from lightrec.errors import RunError
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.recommend import Recommender
from lightrec.testing import tiny

Client = Callable[..., AbstractContextManager[TestClient]]
TOKENS = {"r" * 16: "read", "f" * 16: "feedback", "a" * 16: "admin"}


@pytest.fixture(scope="session")
def run() -> Path:
    return tiny.kit_run()


@pytest.fixture(scope="session")
def recommender(run: Path) -> Recommender:
    return Recommender(run)


@pytest.fixture
def client(run: Path, tmp_path: Path) -> Client:
    """Opens a service on the store of the test, with an arm for each of some loaders."""

    @contextmanager
    def client(
        *loaders: Callable[[], RunEngine], weights: tuple[float, ...] = (), **options: Any
    ) -> Iterator[TestClient]:
        loaders = loaders or (lambda: RunEngine(run),)
        weights = weights or (1.0,) * len(loaders)
        arms = [
            Arm(f"arm-{place}", *pair)
            for place, pair in enumerate(zip(loaders, weights, strict=True))
        ]
        service = Service(arms, Store(f"sqlite:///{tmp_path}/served.db"))
        app = application(service, hidden=[str(run)], **options)
        with TestClient(app, raise_server_exceptions=False) as found:
            yield found

    return client


def asked(client: TestClient, **ask: Any) -> dict[str, Any]:
    response = client.post("/recommend", json=ask)
    assert response.status_code == 200, response.text
    return response.json()


def items(slate: dict[str, Any]) -> list[str]:
    return [place["item"] for place in slate["items"]]


def told(client: TestClient, slate: dict[str, Any], item: str, kind: str, id: str) -> Any:
    event = {"id": id, "session": slate["session"], "item": item, "kind": kind}
    response = client.post("/feedback", json={"events": [event | {"answer": slate["answer"]}]})
    assert response.status_code == 200, response.text
    return response.json()


def shown(client: TestClient) -> list[dict[str, Any]]:
    client.app.state.service.store.flush()
    return client.get("/numbers").json()


def put(client: TestClient, item: str, **more: Any) -> None:
    response = client.put("/items", json={"items": [{"item": item} | more]})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "ask",
    [
        {"user": "u3"},
        {"history": ["i5", "tea number 6"]},
        {"user": "u8", "history": ["i30"]},
        {"user": "u3", "exclude": ["kind=song", "i16"]},
        {"history": ["i1"], "only": ["kind=tea"], "discover": True},
        {"user": "u5", "k": 60},
    ],
    ids=lambda ask: "-".join(ask),
)
def test_a_slate_is_what_recommend_gives(client: Client, recommender: Recommender, ask) -> None:
    with client() as http:
        slate = asked(http, **ask)
    expected = recommender.recommend(**ask)
    assert items(slate) == expected["item"].to_list()
    assert [place["title"] for place in slate["items"]] == expected["title"].to_list()
    scores = [place["score"] for place in slate["items"]]
    assert scores == pytest.approx(expected["score"].to_list(), rel=1e-4, abs=1e-4)
    assert all(place["propensity"] == 1 for place in slate["items"])


def test_a_stranger_gets_what_recommend_gives_for_an_empty_history(
    client: Client, recommender: Recommender
) -> None:
    with client() as http:
        slate = asked(http, user="nobody yet")
    assert slate["by"] == "popularity"
    assert items(slate) == recommender.recommend(history=[])["item"].to_list()


def test_feedback_counts_as_history_at_once(client: Client, recommender: Recommender) -> None:
    with client() as http:
        slate = asked(http, user="u3", k=3)
        first, second = items(slate)[:2]
        assert told(http, slate, second, "accepted", "1") == {"stored": 1, "known": 0}
        told(http, slate, first, "dismissed", "2")
        again = asked(http, session=slate["session"], k=60)
    expected = recommender.recommend("u3", history=[second], exclude=[first], k=60)
    assert items(again) == expected["item"].to_list()
    assert first not in items(again)
    assert again["session"] == slate["session"]


def test_an_event_counts_once_however_often_it_is_sent(client: Client) -> None:
    with client() as http:
        slate = asked(http, user="u3")
        item = items(slate)[0]
        assert told(http, slate, item, "accepted", "mine") == {"stored": 1, "known": 0}
        one = items(asked(http, session=slate["session"]))
        assert told(http, slate, item, "accepted", "mine") == {"stored": 0, "known": 1}
        assert items(asked(http, session=slate["session"])) == one
        numbers = shown(http)
    assert [(arm["arm"], arm["answers"], arm["accepted"]) for arm in numbers] == [("arm-0", 3, 1)]


def test_a_session_goes_on_after_a_restart(client: Client) -> None:
    with client() as http:
        slate = asked(http, user="u3")
        one, other = items(slate)[:2]
        told(http, slate, one, "accepted", "1")
        told(http, slate, other, "dismissed", "2")
        put(http, "new", title="A new lamp", text="A lamp.", attributes={"kind": "lamp"})
        http.request("DELETE", "/items", json={"items": ["i40"]})
        before = asked(http, session=slate["session"], k=60)
        fresh = asked(http, user="u3", k=60)
    with client() as http:
        assert items(asked(http, session=slate["session"], k=60)) == items(before)
        after = asked(http, user="u3", k=60)
    assert "new" in items(before)
    assert "i40" not in items(before)
    # Another session knows what was accepted in the first; what was dismissed may come again.
    assert items(after) == items(fresh)
    assert one not in items(after)
    assert other in items(after)


def test_a_session_outlives_the_items_and_the_arm_that_it_met(client: Client, run: Path) -> None:
    with client() as http:
        put(http, "new", text="tea")
        slate = asked(http, user="u3", k=49)
        told(http, slate, "new", "accepted", "1")
        http.request("DELETE", "/items", json={"items": ["new"]})
        told(http, slate, "new", "accepted", "2")  # shown before it was deleted
    with client() as http:
        assert "new" not in items(asked(http, session=slate["session"], k=60))
        assert len(asked(http, user="u3")["items"]) == 10
    with client(lambda: RunEngine(run), lambda: RunEngine(run), weights=(0, 1)) as http:
        mine = asked(http, user="u9")
        assert mine["arm"] == "arm-1"
    with client() as http:
        refused = http.post("/recommend", json={"session": mine["session"]})
        assert refused.status_code == 409
        told(http, mine, items(mine)[0], "accepted", "3")  # what was done was done


def test_fifty_sessions_of_one_user_do_not_disturb_each_other(
    client: Client, recommender: Recommender
) -> None:
    kinds = ["tea", "rope", "lamp", "song"]
    with client() as http:
        app = http.app

        async def visit(number: int, asynchronous: httpx.AsyncClient) -> None:
            session, own, gone = None, [], []
            for step in range(4):
                ask = {"user": "u3", "session": session, "k": 20}
                answer = (await asynchronous.post("/recommend", json=ask)).json()
                session = answer["session"]
                expected = recommender.recommend("u3", history=own, exclude=gone, k=20)
                assert items(answer) == expected["item"].to_list(), (number, step)
                kind = "dismissed" if (number + step) % 3 == 0 else "accepted"
                wanted = [i for i in items(answer) if kinds[int(i[1:]) // 12] == kinds[number % 4]]
                item = wanted[0] if wanted else items(answer)[number % 20]
                event = {"id": str(step), "session": session, "item": item, "kind": kind}
                said = await asynchronous.post("/feedback", json={"events": [event]})
                assert said.json() == {"stored": 1, "known": 0}
                (gone if kind == "dismissed" else own).append(item)

        async def all_visit() -> None:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as some:
                await asyncio.gather(*(visit(number, some) for number in range(50)))

        http.portal.call(all_visit)


class Grown(Domain):
    """Songs are not for users whose number is odd, and new items say so by their titles."""

    def eligible(self, users, items, time):
        odd = users["user"].str.strip_prefix("u").cast(pl.Int64, strict=False).fill_null(1) % 2
        songs = (items["kind"] == "song").fill_null(False) | items["title"].str.contains("adult")
        return ~((odd == 1).to_numpy()[:, None] & songs.to_numpy()[None])


@pytest.fixture
def grown(run: Path, tmp_path: Path, lightrec_plugins) -> Path:
    copy = tmp_path / "grown"
    shutil.copytree(run, copy)
    meta = json.loads((copy / "data" / "meta.json").read_text())
    meta["settings"]["domain"], meta["restricts"] = "grown", True
    (copy / "data" / "meta.json").write_text(json.dumps(meta))
    hooks = f"""
        def lightrec_domains():
            return {{"grown": "{__name__}:Grown"}}
    """
    lightrec_plugins.add("grown", "import sys\n@hookimpl\n" + hooks.strip().replace(" " * 8, ""))
    return copy


@pytest.mark.parametrize("more", [{}, {"explore": True}, {"new": 5}], ids=str)
def test_what_the_field_forbids_never_comes(client: Client, grown: Path, more) -> None:
    with client(lambda: RunEngine(grown)) as http:
        put(http, "plain", title="A song", text="song", attributes={"kind": "tea"})
        put(http, "adult", title="An adult song", text="song")
        put(http, "i0", title="tea for adults", text="tea", attributes={"kind": "tea"})
        odd = {*items(asked(http, user="u1", k=60, **more))}
        even = {*items(asked(http, user="u2", k=60, **more))}
        stranger = {*items(asked(http, history=["i5"], k=60, **more))}
    songs = {f"i{number}" for number in range(36, 48)}
    for forbidden in (odd, stranger):
        assert "plain" in forbidden
        assert not forbidden & ({"adult", "i0"} | songs)
    assert {"plain", "adult", "i0"} < even
    assert songs & even


def test_an_item_that_is_put_may_come_next_and_one_deleted_does_not(client: Client) -> None:
    with client() as http:
        before = items(asked(http, user="u3", k=60))
        put(http, "a/b c", title="Tea of today", attributes={"kind": "tea"})
        put(http, "second")
        slate = asked(http, user="u3", k=4, new=1)
        assert {*items(slate)} & {"a/b c", "second"} == {items(slate)[-1]}
        shown = {place["item"]: place for place in asked(http, user="u3", k=60)["items"]}
        assert {*shown} == {*before, "a/b c", "second"}
        assert shown["a/b c"]["text"] == "Tea of today. kind: tea"
        assert shown["second"]["title"] == "second"
        # Also to somebody of whom nothing is known.
        assert "a/b c" in items(asked(http, k=2, new=1, only=["kind=tea"]))
        alike = http.get("/items/a%2Fb c/similar", params={"k": 3}).json()
        assert all(place["title"].startswith("tea") for place in alike)
        gone = http.request("DELETE", "/items", json={"items": ["a/b c", "none", before[0]]})
        assert gone.json() == {"items": ["a/b c", before[0]]}
        assert {*items(asked(http, user="u3", k=60))} == {*before[1:], "second"}
        assert http.request("DELETE", "/items", json={"items": ["none"]}).status_code == 404
        assert http.get("/items/a%2Fb c/similar").status_code == 404
        put(http, before[0], title="Again")
        again = {p["item"]: p["title"] for p in asked(http, user="u3", k=60)["items"]}
        assert again[before[0]] == "Again"


def test_of_several_items_all_are_put_or_none(client: Client) -> None:
    with client() as http:
        for wrong in (
            {"item": "y", "attributes": {"colour": "red"}},
            {"item": "y", "attributes": {"kind": ["tea"]}},
            {"item": "y", "attributes": {"item": "z"}},
        ):
            refused = http.put("/items", json={"items": [{"item": "x"}, wrong]})
            assert refused.status_code == 422, wrong
        assert len(items(asked(http, k=60))) == tiny.ITEMS


def test_conditions_and_candidates_bound_what_comes(client: Client) -> None:
    with client() as http:
        only = asked(http, user="u3", only=["kind=tea", "kind=rope"], exclude=["tea number 1"])
        assert {*items(only)} <= {f"i{number}" for number in range(24)} - {"i1"}
        some = asked(http, user="u3", candidates=["i1", "i14", "i26", "none"], exclude=["i26"])
        assert {*items(some)} == {"i1", "i14"}
        nothing = http.post("/recommend", json={"candidates": ["nothing"]})
        assert nothing.status_code == 422


def test_drawn_slates_follow_the_law_of_plackett_and_luce(client: Client, run: Path) -> None:
    ask = {"user": "u3", "k": 3, "explore": True, "candidates": ["i1", "i14", "i26"]}
    with client(lambda: RunEngine(run, temperature=8.0)) as http:
        usual = asked(http, **{**ask, "explore": False})
        order = items(usual)
        scores = torch.tensor([place["score"] for place in usual["items"]]).double() / 8.0
        law = PlackettLuce(scores, slate_size=3)
        for _ in range(20):
            slate = asked(http, **ask)
            columns = [order.index(item) for item in items(slate)]
            steps = [place["propensity"] for place in slate["items"]]
            log_prob = float(law.log_prob(torch.tensor(columns)))
            assert math.log(math.prod(steps)) == pytest.approx(log_prob, abs=1e-6)
            assert steps[0] == pytest.approx(float(scores.softmax(0)[columns[0]]))
            assert steps[2] == 1


def test_people_meet_the_arms_by_their_weights_and_for_good(client: Client, run: Path) -> None:
    engine = RunEngine(run)
    two = (lambda: engine, lambda: engine)
    names = [f"person {number}" for number in range(120)]
    with client(*two, weights=(3, 1)) as http:
        first = [asked(http, user=name, k=1)["arm"] for name in names]
        ready = http.get("/ready").json()["arms"]
        assert [ready[f"arm-{n}"]["share"] for n in range(2)] == [0.75, 0.25]
        chosen = asked(http, user=names[0], arm="arm-1")
        refused = http.post("/recommend", json={"session": chosen["session"], "arm": "arm-0"})
        assert refused.status_code == 409
        assert http.post("/recommend", json={"arm": "arm-9"}).status_code == 404
    # 4 standard deviations of a binomial law.
    assert abs(first.count("arm-1") - 30) < 4 * math.sqrt(120 * 0.25 * 0.75)
    with client(*two, weights=(3, 1)) as http:
        assert [asked(http, user=name, k=1)["arm"] for name in names[:20]] == first[:20]


def test_a_session_is_of_one_person(client: Client) -> None:
    with client() as http:
        mine = asked(http, user="u1")["session"]
        assert http.post("/recommend", json={"user": "u2", "session": mine}).status_code == 409
        nobody = asked(http)["session"]
        assert http.post("/recommend", json={"user": "u2", "session": nobody}).status_code == 409


def test_a_refused_request_leaves_no_session(client: Client) -> None:
    event = {"id": "1", "session": "own", "item": "i1"}
    with client() as http:
        refused = http.post("/recommend", json={"session": "own", "history": ["no such item"]})
        assert refused.status_code == 422
        assert http.post("/feedback", json={"events": [event]}).status_code == 404
        asked(http, session="own")
        unknown = event | {"id": "2", "item": "no such item"}
        both = http.post("/feedback", json={"events": [event, unknown]})
        assert both.status_code == 404
        assert http.post("/feedback", json={"events": [event]}).json()["stored"] == 1


def test_a_reload_swaps_and_one_that_fails_changes_nothing(client: Client, run: Path) -> None:
    loads = iter([lambda: RunEngine(run), lambda: RunEngine(run, by="policy"), None])

    def load() -> RunEngine:
        make = next(loads)
        if make is None:
            raise RunError(f"{run} is broken.")
        return make()

    with client(load) as http:
        put(http, "new", text="tea")
        slate = asked(http, user="u3", k=60)
        usual = slate["by"]
        told(http, slate, items(slate)[0], "dismissed", "1")
        assert http.post("/admin/reload", params={"arm": "arm-7"}).status_code == 404
        assert http.post("/admin/reload").json()["by"] == "policy"
        after = asked(http, session=slate["session"], k=60)
        assert (usual, after["by"]) == ("blend", "policy")
        assert {*items(after)} == {*items(slate)[1:]}
        failed = http.post("/admin/reload")
        assert failed.status_code == 409
        assert failed.json() == {"error": "The old one answers on. the run is broken."}
        assert items(asked(http, session=slate["session"], k=60)) == items(after)


@pytest.mark.parametrize("by", ["mixture", "even-mixture"])
def test_a_mixture_answers_as_it_recommends(client: Client, run: Path, by: str) -> None:
    expected = Recommender(run, by).recommend("u3", k=5)  # type: ignore[arg-type]
    with client(lambda: RunEngine(run, by)) as http:  # type: ignore[arg-type]
        slate = asked(http, user="u3", k=5)
        assert (slate["by"], items(slate)) == (by, expected["item"].to_list())
    with client() as http:
        assert items(asked(http, user="u3", k=5, by=by)) == items(slate)


def test_items_that_an_updated_log_has_count_once(run: Path, recommender: Recommender) -> None:
    past = recommender.store.items[slice(*recommender.store.offsets[3:5])]
    known = recommender.catalog["item"][int(past[-2]) - 1]
    engine = RunEngine(run)
    plain, again = engine.answer([Query("u3"), Query("u3", accepted=(known, "not any more"))])
    assert again.items == plain.items
    assert again.scores == pytest.approx(plain.scores, rel=1e-5)


ROUTES = {
    ("GET", "/health"): None,
    ("GET", "/ready"): None,
    ("GET", "/"): None,
    ("GET", "/page/index.html"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/metrics"): "read",
    ("GET", "/numbers"): "read",
    ("GET", "/users"): "read",
    ("GET", "/items/i1/similar"): "read",
    ("GET", "/page/%2e%2e/metrics"): "",
    ("GET", "/metrics/"): "read",
    ("POST", "/recommend"): "read",
    ("POST", "/explain"): "read",
    ("POST", "/feedback"): "feedback",
    ("PUT", "/items"): "admin",
    ("DELETE", "/items"): "admin",
    ("POST", "/admin/reload"): "admin",
    ("POST", "/feedback/"): "feedback",
}


def test_each_route_asks_for_its_role(client: Client) -> None:
    event = {"id": "1", "session": "s", "item": "i1"}
    bodies = {
        "/recommend": {"session": "s"},
        "/explain": {"session": "s", "item": "i1"},
        "/feedback": {"events": [event]},
        "/items": {"items": ["i47"]},
    }
    ranks = ["read", "feedback", "admin"]
    with client(tokens=TOKENS) as http:
        http.post(
            "/recommend",
            json={"session": "s", "user": "u3"},
            headers={"authorization": "Bearer " + "r" * 16},
        )
        paths = http.get("/openapi.json").json()["paths"]
        known = {(method.upper(), path) for path, of in paths.items() for method in of}
        named = {(m, p.replace("i1", "{item}")) for m, p in ROUTES}
        assert known <= named, "say here what a new route asks for"
        for (method, path), role in ROUTES.items():
            body = bodies.get(path.rstrip("/"))
            if method == "PUT":
                body = {"items": [{"item": "i47"}]}
            for token in (None, "", "wrong", "r" * 15, "ä" * 16, *TOKENS):
                sent = {} if token is None else {"authorization": f"Bearer {token}".encode()}
                answer = http.request(method, path, json=body, headers=sent)
                own = TOKENS.get(token or "")
                case = method, path, token, answer.text
                if role is None:
                    assert answer.status_code == 200, case
                elif role == "":
                    assert answer.status_code == 404, case
                elif own is None:
                    assert answer.status_code == 401, case
                    assert answer.headers["www-authenticate"] == "Bearer"
                else:
                    refused = ranks.index(own) < ranks.index(role)
                    assert (answer.status_code == 403) == refused, case
                    assert answer.status_code != 401, case
        for sent in ("a" * 16, "Basic " + "a" * 16, "Bearer", "Bearer Bearer " + "a" * 16):
            assert http.get("/users", headers={"authorization": sent}).status_code == 401
        assert (
            http.get("/users", headers={"authorization": "bearer " + "a" * 16}).status_code == 200
        )


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 2001, 413), (b'{"k": 3}' + b" " * 2000, 413), (b'{"k": 3}' + b" " * 1900, 200)],
    ids=["junk", "blanks", "short"],
)
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_a_body_has_a_limit_however_it_comes(client: Client, body, status, parts) -> None:
    def stream() -> Iterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    sent = {"content-type": "application/json"}
    with client(limits=Limits(body=2000)) as http:
        answer = http.post("/recommend", content=stream() if parts else body, headers=sent)
        assert answer.status_code == status
        arms = shown(http)
    assert len(arms) == (status == 200), "what was refused was not done"


def test_limits_are_said_in_sentences(client: Client) -> None:
    limits = Limits(k=5, history=2, candidates=3)
    with client(limits=limits) as http:
        for ask, said in (
            ({}, "k is 10; at most 5 are answered."),
            ({"k": 6}, "k is 6; at most 5 are answered."),
            ({"k": 1, "history": ["i1"] * 3}, "The history's length is 3; at most 2 are answered."),
            (
                {"k": 1, "candidates": ["i1"] * 4},
                "The number of candidates is 4; at most 3 are answered.",
            ),
            ({"k": 0}, "k: Input should be greater than or equal to 1."),
            ({"k": 2, "new": 3}, "Of 2 places, 3 cannot be reserved for new items."),
        ):
            answer = http.post("/recommend", json=ask)
            assert (answer.status_code, answer.json()) == (422, {"error": said})
        assert http.get("/items/i1/similar", params={"k": 6}).status_code == 422


def test_a_client_that_asks_too_often_waits(client: Client) -> None:
    with client(limits=Limits(rate=0.001), tokens=TOKENS) as http:
        for token in TOKENS:  # each client has its own
            sent = {"authorization": f"Bearer {token}"}
            found = [http.get("/users", headers=sent) for _ in range(3)]
            assert [answer.status_code for answer in found] == [200, 429, 429]
        assert found[-1].headers["retry-after"] == "1"
        assert found[-1].json()["error"].endswith("wait a moment.")
    with client(limits=Limits(rate=0.001)) as http:  # a token that nobody looks at is no name
        found = [http.get("/users", headers={"authorization": f"Bearer {n}"}) for n in range(3)]
        assert [answer.status_code for answer in found] == [200, 429, 429]


ODD: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/recommend", {"content": body})
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"k":' + b"9" * 5000 + b"}",
        b'{"k": NaN}',
        b'{"k": 1e400}',
        b'{"k": -1}',
        b'{"k": true}',
        rb'{"user": "\ud800"}',
        rb'{"\ud800": 1}',
        rb'{"user": "\u0000"}',
        rb'{"profile": {"\ud800": 1}}',
        rb'{"profile": {"a": ["\ud800"]}}',
        rb'{"history": ["\ud800"]}',
        b'{"user": ""}',
        b'{"user": 3}',
        b'{"time": "0001-01-01T00:00:00"}',
        b'{"time": "9999-12-31T23:59:59-12:00"}',
        b'{"time": 1e30}',
        b'{"history": ["  "]}',
        b'{"history": ["(.*)[", "\\\\"]}',
        b'{"only": ["kind=~["]}',
        b'{"only": ["kind<nan"]}',
        b'{"only": [">"]}',
        b'{"only": ["=", "=="]}',
        b'{"exclude": ["kind!=tea", "year<1990"]}',
        b'{"profile": {"age": 3}}',
        b'{"profile": {}, "user": "u1"}',
        b'{"by": "reader"}',
        b'{"new": 11}',
        b'{"new": 2, "explore": true}',
        b'{"candidates": []}',
        b'{"session": "' + b"s" * 301 + b'"}',
    )
]
ODD += [
    ("POST", "/feedback", {"content": body})
    for body in (
        b'{"events": []}',
        b'{"events": [{"id": "1", "session": "none", "item": "i1"}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "none"}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "kind": "a\\nb"}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "kind": ""}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "value": NaN}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "value": 1e300}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "value": true}]}',
        b'{"events": [{"id": "1", "session": "own", "item": "i1", "time": "1969-12-31"}]}',
        b'{"events": [{"id": "\\u0000", "session": "own", "item": "i1"}]}',
        '{"events": [{"id": "1", "session": "own", "item": "i1", "kind": "%s"}]}'.replace(
            "%s", "𝕜" * 61
        ).encode(),
    )
]
ODD += [
    ("PUT", "/items", {"content": body})
    for body in (
        b'{"items": [{"item": ""}]}',
        b'{"items": [{"item": "x", "attributes": {"kind": ' + b"9" * 400 + b"}}]}",
        b'{"items": [{"item": "x", "attributes": {"kind": NaN}}]}',
        b'{"items": [{"item": "x", "attributes": {"kind": ["tea"]}}]}',
        b'{"items": [{"item": "x", "attributes": {"text": "y"}}]}',
        rb'{"items": [{"item": "x", "title": "\udfff"}]}',
    )
]
ODD += [
    ("POST", "/explain", {"json": {"session": session, "item": item}})
    for session, item in (("none", "i1"), ("own", "none"), ("own", ""))
]
ODD += [
    (method, path, {})
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/page/%00"),
        ("GET", "/page/" + "a" * 3000),
        ("GET", "/page/..%2fapp.py"),
        ("GET", "/page/%2e%2e/app.py"),
        ("GET", "/page//etc/passwd"),
        ("GET", "/items//similar"),
        ("GET", "/items/%00/similar"),
        ("GET", "/items/%ff/similar"),
        ("GET", "/items/i1/similar?k=0"),
        ("GET", "/items/i1/similar?k=" + "9" * 30),
        ("GET", "/items/i1/similar?arm=none"),
        ("GET", "/numbers?hours=nan"),
        ("GET", "/numbers?hours=-1"),
        ("GET", "/numbers?hours=1e300"),
        ("HEAD", "/recommend"),
        ("OPTIONS", "/recommend"),
        ("TRACE", "/items"),
        ("DELETE", "/items"),
        ("POST", "/admin/reload?arm=%00"),
    )
]


def test_what_cannot_be_answered_is_refused_in_a_sentence(client: Client, run: Path) -> None:
    with client() as http:
        asked(http, session="own")
        for method, path, more in ODD:
            sent = {"content-type": "application/json"}
            answer = http.request(method, path, headers=sent, **more)
            case = method, path[:60], str(more)[:80], answer.text[:300]
            assert 400 <= answer.status_code < 500, case
            if method == "HEAD":
                continue
            said = answer.json()
            assert list(said) == ["error"], case
            assert said["error"][-1] in ".?", case
            for secret in (str(run), str(Path(__file__).parents[3]), "Traceback", "site-packages"):
                assert secret not in answer.text, case
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            answer = http.post("/recommend", content=b'{"k": 1}', headers={"content-type": kind})
            assert answer.status_code == 422, kind
        assert [arm["answers"] for arm in shown(http)] == [1]


def test_what_breaks_the_interface_as_it_is_described_is_refused(client: Client) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    with client() as http:
        specification = http.get("/openapi.json").json()
        operations = schemathesis.openapi.from_dict(specification).get_all_operations()
        for operation in (found.ok() for found in operations):
            mode = schemathesis.GenerationMode.NEGATIVE

            @settings(
                max_examples=6,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def refused(case: Any) -> None:
                body = case.body
                if not isinstance(body, bytes):
                    body = b"" if not case.operation.body else json.dumps(body).encode()
                answer = http.request(
                    case.method,
                    case.formatted_path,
                    params=case.query,
                    content=body,
                    headers={"content-type": "application/json"},
                )
                # What looks wrong in a query may be right, such as a name that nobody knows.
                right = () if case.operation.body else (200,)
                assert answer.status_code in (400, 404, 409, 422, *right), (case, answer.text)

            with suppress(Unsatisfiable):  # nothing can be wrong with what takes nothing
                refused()


def test_strange_names_are_kept_as_they_are(client: Client) -> None:
    with client() as http:
        for number, name in enumerate(["ü/?#%", " ", "\u202e", "a\nb", "' OR 1=1 --", "𝕏" * 300]):
            if len(name.encode()) <= 1000:
                put(http, name)
                slate = asked(http, user=name, session=name, k=60)
                assert name in items(slate)
                assert told(http, slate, name, "accepted", name)["stored"] == 1, number
            else:
                assert http.post("/recommend", json={"user": name}).status_code == 422


def test_an_error_of_the_service_shows_nothing_of_it(client: Client, run: Path, caplog) -> None:
    class Broken(RunEngine):
        def similar(self, number: int, k: int) -> Any:
            raise ValueError(f"secret of {run}")

    with client(lambda: Broken(run)) as http, caplog.at_level(logging.ERROR, "lightrec.serve"):
        answer = http.get("/items/i1/similar")
        assert asked(http)["items"]
        metrics = http.get("/metrics").text
    assert answer.status_code == 500
    (record,) = [r for r in caplog.records if r.name == "lightrec.serve"]
    assert answer.json()["error"].endswith(f"knows it as {record.number}.")
    assert "secret" not in answer.text
    assert 'lightrec_requests_total{path="/items/{item:path}/similar",status="500"} 1.0' in metrics


def test_a_query_that_breaks_breaks_no_other(client: Client, run: Path) -> None:
    class Brittle(RunEngine):
        def answer(self, queries):
            if any(query.user == "bad" for query in queries):
                raise ValueError("bad")
            return super().answer(queries)

    with client(lambda: Brittle(run)) as http:

        async def together() -> list[int]:
            transport = httpx.ASGITransport(http.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as some:
                users = ["bad" if n % 5 == 0 else f"u{n}" for n in range(20)]
                posts = (some.post("/recommend", json={"user": user}) for user in users)
                return [answer.status_code for answer in await asyncio.gather(*posts)]

        assert http.portal.call(together) == [500, 200, 200, 200, 200] * 4


def test_metrics_count_what_was_asked_under_few_names(client: Client) -> None:
    with client() as http:
        slate = asked(http, session="s")
        for number, kind in enumerate(["accepted", "dismissed", "made up", "another"]):
            told(http, slate, "i1", kind, str(number))
        for path in ("/a", "/b", "/items/i1/similar", "/items/i2/similar"):
            http.get(path)
        lines = http.get("/metrics").text.splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if line.startswith("lightrec_"))
    assert counts['lightrec_requests_total{path="/feedback",status="200"}'] == "4.0"
    assert counts['lightrec_requests_total{path="other",status="404"}'] == "2.0"
    assert (
        counts['lightrec_requests_total{path="/items/{item:path}/similar",status="200"}'] == "2.0"
    )
    assert counts['lightrec_feedback_total{kind="other"}'] == "2.0"
    assert counts['lightrec_recommend_seconds_count{part="total"}'] == "1.0"
