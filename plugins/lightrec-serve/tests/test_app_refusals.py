"""What the service refuses over HTTP, and how: roles, limits, what is odd, and what breaks."""

import asyncio
import logging
import re
from pathlib import Path

import httpx
import pytest
from lightrec_serve import access
from lightrec_serve.access import Limits
from lightrec_serve.run_engine import RunEngine

from lightrec.errors import RecipeError
from tests.asking import posted, slate_of

TOKENS = {"r" * 16: "read", "f" * 16: "feedback", "a" * 16: "admin"}
READ = ["GET /metrics", "GET /metrics/", "GET /numbers", "GET /users", "GET /items/i1/similar"]
READ += ["GET /items", "GET /items/i1", "GET /v1/users", "GET /users/u3/past"]
ROUTES = {
    None: ["GET /health", "GET /ready", "GET /", "GET /page/index.html", "GET /openapi.json"],
    "read": [*READ, "POST /recommend", "POST /explain"],
    "feedback": ["POST /feedback"],
    "admin": [
        *("PUT /items", "DELETE /items", "POST /admin/reload", "DELETE /feedback"),
        *("GET /people/u3", "DELETE /people/u3", "GET /v1/people/u3"),
        *("PUT /users", "PUT /v1/users", "DELETE /v1/items"),
    ],
}
BODIES = {
    "POST /recommend": {"session": "s"},
    "POST /explain": {"session": "s", "item": "i1"},
    "POST /feedback": {"events": [{"id": "1", "session": "s", "item": "i1"}]},
    "DELETE /feedback": {"session": "s", "ids": ["1"]},
    "PUT /items": {"items": [{"item": "i47"}]},
    "PUT /users": {"users": [{"user": "new", "attributes": {"age": 3}}]},
    "DELETE /items": {"items": ["i47"]},
}


def test_each_route_asks_for_its_role(client):
    ranks = [*ROUTES]
    with client(tokens=lambda: TOKENS) as http:
        reader = {"authorization": "Bearer " + "r" * 16}
        http.post("/recommend", json={"session": "s", "user": "u3"}, headers=reader)
        paths = http.get("/openapi.json").json()["paths"]
        there = {
            f"{method.upper()} {path.removeprefix('/v1')}"
            for path, of in paths.items()
            for method in of
        }
        named = {
            route.replace("i1", "{item}").replace("u3", "{user}")
            for routes in ROUTES.values()
            for route in routes
        }
        assert there <= named, "say here what a new route asks for"
        for role, route in ((role, route) for role, routes in ROUTES.items() for route in routes):
            method, path = route.split()
            for token in (None, "wrong", "ä" * 16, *TOKENS):
                sent = {} if token is None else {"authorization": f"Bearer {token}".encode()}
                answer = http.request(method, path, json=BODIES.get(route), headers=sent)
                token_role = TOKENS.get(token)
                case = method, path, token, answer.text
                if role is None:
                    assert answer.status_code == 200, case
                elif token_role is None:
                    assert answer.status_code == 401, case
                    assert answer.headers["www-authenticate"] == "Bearer"
                else:
                    refused = ranks.index(token_role) < ranks.index(role)
                    assert (answer.status_code == 403) == refused, case
                    assert answer.status_code != 401, case
        sent = {"authorization": "Basic " + "a" * 16}
        assert http.get("/users", headers=sent).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"k": 3}' + b" " * 2000, 413), (b'{"k": 3}' + b" " * 1900, 200)],
    ids=["long", "short"],
)
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "in parts"])
def test_a_body_has_a_limit_however_it_comes(client, body, status, parts):
    def stream():
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    sent = {"content-type": "application/json"}
    with client(limits=Limits(body=2000)) as http:
        answer = http.post("/recommend", content=stream() if parts else body, headers=sent)
        assert answer.status_code == status
        arms = http.numbers()
    assert len(arms) == (status == 200), "what was refused was not done"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"k": 6}, "k is 6; at most 5 are answered."),
        ({"history": ["i1"] * 3}, "The history's length is 3; at most 2 are answered."),
        ({"candidates": ["i1"] * 4}, "The number of candidates is 4; at most 3 are answered."),
        ({"k": 0}, "k: Input should be greater than or equal to 1."),
        ({"new": 3}, "Of 1 places, 3 cannot be reserved for new items."),
        ({"exclude": ["i1"] * 101}, "exclude: List should have at most 100 items"),
        ({"profile": {"a": ["b"] * 1001}}, "at most 1000 items"),
        ({"profile": {f"{n}": {} for n in range(5_000)}}, "profile"),
        ({"history": [1] * 5_000}, "history.0: Input should be a valid string."),
        ({"session": "@u3"}, "session: String should match pattern"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_every_number_and_list_of_a_request_has_its_limit(client, ask, said):
    with client(limits=Limits(k=5, history=2, candidates=3)) as http:
        refused = http.post("/recommend", json={"k": 1} | ask)
        assert (refused.status_code, said in refused.json()["error"]) == (422, True), refused.text


def test_names_that_no_item_has_as_they_stand_are_few(client):
    names = [f"tee numbr {n}" for n in range(101)]
    with client() as http:
        refused = http.post("/recommend", json={"history": names})
        assert refused.status_code == 422
        assert "101 names are no item's id or title as it stands" in refused.json()["error"]
        answered = http.post("/recommend", json={"k": 1, "history": ["tea number 6", "i5"] * 400})
        assert answered.status_code == 200, answered.text


def test_feedback_is_of_what_was_shown_and_of_no_time_to_come(client):
    with client() as http:
        slate, other = (slate_of(http, user="u3", k=2) for _ in range(2))
        shown = [place["item"] for place in slate["items"]]
        unseen = next(item for item in ("i1", "i2", "i3") if item not in shown)
        event = {"id": "1", "session": slate["session"], "item": shown[0]}
        for wrong, status, said in (
            ({"answer": "made up"}, 404, "has not shown"),
            ({"answer": other["answer"]}, 404, "has not shown"),
            ({"answer": slate["answer"], "item": unseen}, 404, "has not shown"),
            ({"time": "2999-01-01T00:00:00Z"}, 422, "set the clock of what sends it"),
        ):
            refused = http.post("/feedback", json={"events": [event | wrong]})
            assert (refused.status_code, said in refused.json()["error"]) == (status, True)
        first = {"answer": slate["answer"]}
        for _ in range(25):
            slate_of(http, session=slate["session"])
        sent = http.post("/feedback", json={"events": [event | first]})
        assert sent.json()["stored"] == 1, "an early answer is looked up"


def test_a_kind_of_feedback_that_no_run_knows_is_refused(client, tiny_run):
    engine = RunEngine(tiny_run)
    engine.worth = {"view": 0.1, "bought": 1.0}
    with client(lambda: engine) as http:
        slate = http.post("/recommend", json={"k": 1}).json()
        event = {"session": slate["session"], "item": "i1"}
        wrong = {
            "events": [event | {"id": "1", "kind": "bought"}, event | {"id": "2", "kind": "eaten"}]
        }
        refused = http.post("/feedback", json=wrong)
        assert refused.status_code == 422
        said = refused.json()["error"]
        assert "'eaten' is no kind of feedback" in said
        assert "bought, view, accepted, dismissed" in said
        for number, kind in enumerate(("bought", "accepted", "dismissed")):
            body = {"events": [event | {"id": f"{number + 3}", "kind": kind}]}
            assert http.post("/feedback", json=body).json()["stored"] == 1


def test_a_client_that_asks_too_often_waits(client):
    with client(limits=Limits(rate=0.001), tokens=lambda: TOKENS) as http:
        for token in TOKENS:  # each client has its own
            sent = {"authorization": f"Bearer {token}"}
            answers = [http.get("/users", headers=sent) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json()["error"].endswith("wait a moment.")
    with client(limits=Limits(rate=0.001)) as http:  # a token that nobody looks at is no name
        answers = [http.get("/users", headers={"authorization": f"Bearer {n}"}) for n in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]


ODD = {
    "POST /recommend": [
        b"{",
        b"[" * 100_000,
        b'{"k":' + b"9" * 5000 + b"}",
        b'{"k": NaN}',
        b'{"k": true}',
        rb'{"user": "\ud800"}',
        rb'{"user": "\u0000"}',
        rb'{"profile": {"a": ["\ud800"]}}',
        b'{"user": 3.5}',
        b'{"time": "0001-01-01T00:00:00"}',
        b'{"history": ["(.*)[", "\\\\"]}',
        b'{"only": ["kind=~["]}',
        b'{"exclude": ["kind!=tea", "year<1990"]}',
        b'{"by": "reader"}',
        b'{"new": 2, "explore": true}',
        b'{"session": "' + b"s" * 301 + b'"}',
    ],
    "POST /feedback": [
        b'{"events": [{"id": "1", "session": "own", "item": "i1", %s}]}' % field
        for field in (
            *(b'"session": "none"', b'"item": "none"', rb'"kind": "a\nb"', b'"value": 1e300'),
            *(b'"time": "1969-12-31"', rb'"id": "\u0000"'),
        )
    ],
    "PUT /items": [
        b'{"items": [{"item": ""}]}',
        b'{"items": [{"item": "x", "attributes": {"kind": ' + b"9" * 400 + b"}}]}",
        b'{"items": [{"item": "x", "attributes": {"text": "y"}}]}',
    ],
    "POST /explain": [
        b'{"session": "none", "item": "i1"}',
        b'{"session": "own", "item": "none"}',
    ],
}
ODD_ADDRESSES = """
GET /nothing
GET /page/%00
GET /page/%2e%2e/app.py
GET /page//etc/passwd
GET /items/%ff/similar
GET /items/i1/similar?k=0
GET /items/i1/similar?arm=none
GET /numbers?hours=1e300
HEAD /recommend
TRACE /items
POST /admin/reload?arm=%00
"""


def test_what_cannot_be_answered_is_refused_in_a_sentence(client, tiny_run):
    secrets = str(tiny_run), str(Path(__file__).parents[3]), "Traceback", "site-packages"
    cases = [(request, body) for request, bodies in ODD.items() for body in bodies]
    cases += [(request, b"") for request in ODD_ADDRESSES.strip().splitlines()]
    with client() as http:
        assert http.post("/recommend", json={"session": "own"}).status_code == 200
        for request, body in cases:
            method, path = request.split()
            sent = {"content-type": "application/json"}
            answer = http.request(method, path, headers=sent, content=body)
            case = request, body[:80], answer.text[:300]
            assert 400 <= answer.status_code < 500, case
            if method == "HEAD":
                continue
            said = answer.json()
            assert list(said) == ["error"], case
            assert said["error"][-1] in ".?", case
            for secret in secrets:
                assert secret not in answer.text, case
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            answer = http.post("/recommend", content=b'{"k": 1}', headers={"content-type": kind})
            assert answer.status_code == 422, kind
        assert [arm["answers"] for arm in http.numbers()] == [1]


def test_an_error_of_the_service_shows_nothing_of_it(client, tiny_run, caplog):
    class Broken(RunEngine):
        def similar(self, number, query):
            raise ValueError(f"secret of {tiny_run}")

    with client(lambda: Broken(tiny_run)) as http, caplog.at_level(logging.ERROR, "lightrec.serve"):
        number = "5" * 32
        answer = http.get("/items/i1/similar", headers={"x-request-id": number})
        assert http.post("/recommend", json={}).json()["items"]
        metrics = http.get("/metrics").text
    assert answer.status_code == 500
    (record,) = [r for r in caplog.records if r.name == "lightrec.serve"]
    assert f"secret of {tiny_run}" in str(record.exc_info[1])
    assert answer.json()["error"].endswith(f"knows it as {number}.")
    assert "secret" not in answer.text
    assert 'lightrec_requests_total{path="/items/{item:path}/similar",status="500"} 1.0' in metrics


def test_a_query_that_breaks_breaks_no_other(client, tiny_run):
    class Brittle(RunEngine):
        def answer(self, queries):
            if any(query.user == "bad" for query in queries):
                raise ValueError("bad")
            return super().answer(queries)

    with client(lambda: Brittle(tiny_run)) as http:

        async def together():
            transport = httpx.ASGITransport(http.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as some:
                users = ["bad" if n % 5 == 0 else f"u{n}" for n in range(20)]
                posts = (some.post("/recommend", json={"user": user}) for user in users)
                return [answer.status_code for answer in await asyncio.gather(*posts)]

        assert http.portal.call(together) == [500, 200, 200, 200, 200] * 4


def test_a_page_of_somebody_else_and_another_name_are_refused(client):
    own, other = {"host": "localhost:8000"}, {"host": "evil.example"}
    with client(hosts=["localhost", "::1"]) as http:
        assert http.get("/users", headers=own).status_code == 200
        assert http.get("/users", headers={"host": "[::1]:8000"}).status_code == 200
        refused = http.get("/users", headers=other)
        assert (refused.status_code, "'evil.example'" in refused.json()["error"]) == (421, True)
        for origin, status in (("http://evil.example", 403), ("http://localhost:8000", 200)):
            sent = own | {"origin": origin}
            assert http.post("/admin/reload", headers=sent).status_code == status
            assert http.get("/users", headers=sent).status_code == 200
    with client(tokens=lambda: TOKENS) as http:  # no browser sends a token by itself
        sent = {"authorization": "Bearer " + "r" * 16, "origin": "https://shop.example"}
        assert http.post("/recommend", json={}, headers=sent).status_code == 200
        bearer = http.get("/openapi.json").json()["components"]["securitySchemes"]
        assert [each["scheme"] for each in bearer.values()] == ["bearer"]


def test_tokens_are_exchanged_while_it_serves(client, tmp_path, monkeypatch, caplog):
    now, file = [0.0], tmp_path / "tokens.yaml"
    monkeypatch.setattr(access, "monotonic", lambda: now[0])
    file.write_text(f"read: [{'o' * 16}]")
    with client(tokens=access.Tokens(file)) as http, caplog.at_level(logging.INFO):
        for text, old, new in (
            (f"read: [{'o' * 16}, {'n' * 16}]", 200, 200),
            (f"read: [{'n' * 16}]", 401, 200),
            ("read: [short]", 401, 200),
        ):
            file.write_text(text)
            now[0] += 2
            for token, status in (("o" * 16, old), ("n" * 16, new)):
                sent = {"authorization": f"Bearer {token}"}
                assert http.get("/users", headers=sent).status_code == status, text
    assert "tokens stay as they were" in caplog.text
    assert "n" * 16 not in caplog.text
    with pytest.raises(RecipeError, match="16 letters"):
        access.Tokens(file)


def test_a_body_that_comes_too_slowly_is_refused(client):
    with client(limits=Limits(slow=0.05)) as http:
        begun = {"body": b"{", "more_body": True}
        assert http.portal.call(posted, http.app, begun) == 408


def test_the_description_of_the_interface_needs_no_other_server(client):
    with client() as http:
        page = http.get("/docs").text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            assert http.get(path).status_code == 200, path
        number = http.get("/v1/health").headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", number)
