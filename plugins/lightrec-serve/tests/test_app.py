"""The service over HTTP, on a tiny run: what it answers and what it keeps."""

import asyncio
import json
import math
import re
import shutil
from datetime import datetime
from functools import cache
from types import SimpleNamespace

import httpx
import polars as pl
import pytest
from lightrec_export.worth import worth_in
from lightrec_ope.shown import rounds
from lightrec_serve.commands import serve, served
from lightrec_serve.engine import Query
from lightrec_serve.run_engine import RunEngine
from lightrec_testing import tiny

from lightrec.data.catalog import Users
from lightrec.data.domain import Domain
from lightrec.data.readers.base import read_tables
from lightrec.errors import RecipeError, RunError
from lightrec.recommend import Recommender
from lightrec.run import Run
from tests.courses import HOOKS, Courses, courses_run


@pytest.fixture(scope="session")
def recommender(tiny_run):
    return cache(lambda by=None: Recommender(tiny_run, by))


def slate_of(client, **ask):
    response = client.post("/recommend", json=ask)
    assert response.status_code == 200, response.text
    return response.json()


def items(slate):
    return [place["item"] for place in slate["items"]]


def send(client, slate, item, kind, id):
    event = {"id": id, "session": slate["session"], "item": item, "kind": kind}
    response = client.post("/feedback", json={"events": [event | {"answer": slate["answer"]}]})
    assert response.status_code == 200, response.text
    return response.json()


def put(client, item, **more):
    response = client.put("/items", json={"items": [{"item": item} | more]})
    assert response.status_code == 200, response.text


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


def test_candidates_alone_may_come(client):
    with client() as http:
        some = slate_of(http, user="u3", candidates=["i1", "i14", "i26", "none"], exclude=["i26"])
        assert {*items(some)} == {"i1", "i14"}


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
def test_fifty_sessions_of_one_user_do_not_disturb_each_other(client, recommender):
    with client() as http:
        app = http.app

        async def visit(number, asynchronous):
            session, accepted, gone = None, [], []
            for step in range(4):
                ask = {"user": "u3", "session": session, "k": 20}
                answer = (await asynchronous.post("/recommend", json=ask)).json()
                session = answer["session"]
                expected = recommender().recommend("u3", history=accepted, exclude=gone, k=20)
                assert items(answer) == expected["item"].to_list(), (number, step)
                kind = "dismissed" if (number + step) % 3 == 0 else "accepted"
                item = items(answer)[number % 20]
                event = {"id": str(step), "session": session, "item": item, "kind": kind}
                said = await asynchronous.post("/feedback", json={"events": [event]})
                assert said.json() == {"stored": 1, "known": 0}
                (gone if kind == "dismissed" else accepted).append(item)

        async def all_visit():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as some:
                await asyncio.gather(*(visit(number, some) for number in range(50)))

        http.portal.call(all_visit)


class Grown(Domain):
    """Songs are not for users whose number is odd, and new items say so by their titles.

    From 2031 on nobody gets tea.
    """

    def eligible(self, audience):
        users, items = audience.users, audience.items
        odd = users["user"].str.strip_prefix("u").cast(pl.Int64, strict=False).fill_null(1) % 2
        songs = (items["kind"] == "song").fill_null(False) | items["title"].str.contains("adult")
        late = (audience.time.dt.year() > 2030).to_numpy()[:, None]
        tea = (items["kind"] == "tea").fill_null(False).to_numpy()
        return ~((odd == 1).to_numpy()[:, None] & songs.to_numpy()[None] | late & tea)


@pytest.fixture
def grown(tiny_run, tmp_path, lightrec_plugins):
    copy = shutil.copytree(tiny_run, tmp_path / "grown")
    meta = json.loads((copy / "data" / "meta.json").read_text())
    meta["settings"]["domain"], meta["restricts"] = "grown", True
    (copy / "data" / "meta.json").write_text(json.dumps(meta))
    hooks = f"""import sys
        from lightrec_rules.hooks import lightrec_list_parts

        @hookimpl
        def lightrec_domains():
            return {{"grown": "{__name__}:Grown"}}
    """
    lightrec_plugins.add("grown", hooks.replace(" " * 8, ""))
    return copy


@pytest.mark.parametrize("more", [{}, {"explore": True}, {"new": 5}], ids=str)
def test_what_the_field_forbids_never_comes(client, grown, more):
    with client(lambda: RunEngine(grown)) as http:
        put(http, "plain", title="A song", text="song", attributes={"kind": "tea"})
        put(http, "adult", title="An adult song", text="song")
        put(http, "i0", title="tea for adults", text="tea", attributes={"kind": "tea"})
        odd = {*items(slate_of(http, user="u1", k=60, **more))}
        even = {*items(slate_of(http, user="u2", k=60, **more))}
        stranger = {*items(slate_of(http, history=["i5"], k=60, **more))}
    songs = {f"i{number}" for number in range(36, 48)}
    for forbidden in (odd, stranger):
        assert "plain" in forbidden
        assert not forbidden & ({"adult", "i0"} | songs)
    assert {"plain", "adult", "i0"} < even
    assert songs & even


def test_a_slate_is_shown_at_the_time_that_is_said_and_else_at_that_of_the_log(
    client, grown, capsys, monkeypatch
):
    teas = {f"i{number}" for number in range(12)}
    shown = lambda http, **ask: {*items(slate_of(http, user="u2", k=60, **ask))}  # noqa: E731
    with client(lambda: RunEngine(grown)) as http:
        before = shown(http)
        after = shown(http, time="2031-01-01")
        assert (before & teas, after) == (before - after, before - teas)
    with client(lambda: RunEngine(grown), time="now") as http:
        monkeypatch.setattr("lightrec_serve.service.moment", lambda _: datetime(2031, 5, 1))
        assert (shown(http), shown(http, time="2030-12-31")) == (after, before)
        slate = slate_of(http, user="u2")
        why = {"session": slate["session"], "item": min(before & teas)}
        assert http.post("/explain", json=why).status_code == 422
        assert http.post("/explain", json=why | {"time": "2030-12-31"}).status_code == 200
    usual = Recommender(grown)
    assert {*usual.recommend("u2", k=60, time=datetime(2031, 1, 1))["item"]} == after
    assert not teas & {*pl.concat(usual.recommend_all(k=60, time="2031-01-01"))["item"]}
    with pytest.raises(RecipeError, match="'soon' is no moment: give `now`, or a date"):
        usual.recommend("u2", time="soon")
    monkeypatch.setattr(usual.store, "has_times", False)
    with pytest.raises(RecipeError, match=r"has no times.*leave out the time 'now'"):
        usual.recommend("u2", time="now")
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    last = "asked as of 2024-01-.*, the log's last event; --time now asks as of each request"
    for time, line in ((None, last), ("2031-01-01", "asked as of 2031-01-01.")):
        serve(grown, time=time)
        assert re.search(f"^grown: .*{line}", capsys.readouterr().out, re.MULTILINE)


@pytest.fixture
def courses(tiny_run, tmp_path, lightrec_plugins):
    lightrec_plugins.add(
        "courses", f"from lightrec_rules.hooks import lightrec_list_parts\n{HOOKS}"
    )
    return courses_run(tiny_run, tmp_path)


@pytest.mark.parametrize("explore", [False, True])
def test_what_is_taken_opens_the_next_course_and_nothing_else_does(client, courses, explore):
    firsts = {f"i{place}" for place in range(0, tiny.ITEMS, tiny.SIZE)}
    with client(lambda: RunEngine(courses)) as http:
        put(http, "seminar", title="A seminar", text="tea", attributes={"requires": ["i1"]})
        put(http, "thesis", title="A thesis", text="tea", attributes={"requires": ["seminar"]})
        slate = slate_of(http, k=60, explore=explore)
        assert {*items(slate)} == firsts
        had, opened = set(), set(firsts)
        for item, after in (("i0", {"i1"}), ("i1", {"i2", "seminar"}), ("seminar", {"thesis"})):
            send(http, slate, item, "accepted", item)
            had, opened = had | {item}, opened | after
            slate = slate_of(http, session=slate["session"], k=60, explore=explore)
            assert {*items(slate)} == opened - had
        send(http, slate, "i12", "dismissed", "12")  # which opens nothing
        slate = slate_of(http, session=slate["session"], k=60, explore=explore)
        assert {*items(slate)} == opened - had - {"i12"}
        named = slate_of(http, history=["i24"], k=60)
        own = {"session": named["session"], "k": 60}
        assert {*items(named)} == {*items(slate_of(http, **own))} == firsts - {"i24"} | {"i25"}
    with client(lambda: RunEngine(courses)) as http:  # what is stored is remembered
        again = slate_of(http, session=slate["session"], k=60, explore=explore)
        assert {*items(again)} == {*items(slate)}
        assert items(slate_of(http, **own)) == items(named)
        assert {*items(slate_of(http, history=[], **own))} == firsts
        assert {*items(slate_of(http, **own))} == firsts


def test_a_field_is_told_when_the_events_of_a_session_happened(client, courses, monkeypatch):
    asked = []
    monkeypatch.setattr(Courses, "eligible", lambda self, audience: asked.append(audience.past))
    with client(lambda: RunEngine(courses)) as http:
        session = slate_of(http, history=["i24"])["session"]
        event = {"id": "1", "session": session, "item": "i0", "time": "2026-11-30T12:00:00"}
        http.post("/feedback", json={"events": [event]})
        slate_of(http, session=session)
    assert asked[-1].history.tolist() == [[25, 1]]
    assert asked[-1].times.astype(str).tolist() == [["NaT", "2026-11-30T12:00:00.000"]]


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
        kept = http.app.state.service.store.history("u3")
        assert [each.item for each in kept] == items(slate)[:1]


def test_items_that_an_updated_log_has_count_once(tiny_run, recommender):
    recommender = recommender()
    past = recommender.store.items[slice(*recommender.store.offsets[3:5])]
    stored = recommender.catalog["item"][int(past[-2]) - 1]
    engine = RunEngine(tiny_run)
    plain, again = engine.answer([Query("u3"), Query("u3", accepted=(stored, "not any more"))])
    assert again.items == plain.items
    assert again.scores == pytest.approx(plain.scores, rel=1e-5)


def test_metrics_name_nothing_that_a_client_makes_up(client):
    with client() as http:
        send(http, slate_of(http, session="s"), "i1", "made up", "1")
        http.get("/a")
        metrics = http.get("/metrics").text
    assert 'lightrec_requests_total{path="other",status="404"} 1.0' in metrics
    assert 'lightrec_feedback_total{kind="other"} 1.0' in metrics


RULES = {
    "in_stock": "kind!=lamp",
    "pins": [{"item": "song number 2", "place": 2, "people": "user=u3"}],
    "at_most": [{"per": "kind", "places": 2}],
    "boosts": [{"where": "kind=tea", "times": 1e6}],
}


@pytest.fixture(scope="module")
def ruled(tiny_run, tmp_path_factory):
    """A run with standing rules."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("ruled") / "run", symlinks=True)
    (run / "rules.yaml").write_text(json.dumps(RULES))
    return run


def test_slates_keep_to_the_standing_rules_as_recommend_does(client, ruled):
    recommender = Recommender(ruled)
    with client(lambda: RunEngine(ruled)) as http:
        for ask in ({"user": "u3", "k": 9}, {"user": "u8"}, {"user": "u3", "exclude": ["i16"]}):
            assert items(slate_of(http, **ask)) == recommender.recommend(**ask)["item"].to_list()
        stranger = slate_of(http, user="nobody yet", k=9)
        assert items(stranger) == recommender.recommend(history=[], k=9)["item"].to_list()
        assert [place["pinned"] for place in slate_of(http, user="u3", k=4)["items"]] == [
            *(False, True, False, False),
        ]
        put(http, "fresh", attributes={"kind": "tea"}, title="tea of today")
        new = slate_of(http, user="u3", k=4, new=1)
        assert items(new)[3] == "fresh"
        assert new["items"][1]["pinned"]


def test_what_rules_pin_is_logged_as_no_choice(client, ruled, tmp_path):
    with client(lambda: RunEngine(ruled, temperature=1e9)) as http:
        slates = [slate_of(http, user="u3", k=4, explore=True) for _ in range(5)]
        for slate in slates:
            chances = [place["propensity"] for place in slate["items"]]
            # Of two songs that u3 has not had one is pinned; of tea and rope all 24 are open, and
            # a kind is closed once it has had its two places.
            assert chances[:3:2] == [pytest.approx(1 / 25), pytest.approx(1 / 24)]
            assert chances[1] == 1
            send(http, slate, "i38", "accepted", slate["answer"])
        assert [place["item"] for slate in slates for place in slate["items"][1:2]] == ["i38"] * 5
    served(f"{tmp_path}/served.db", tmp_path / "out")
    shown = next((tmp_path / "out" / "shown").glob("*.parquet"))
    log = read_tables(shown).log
    alone = log.events.filter(pl.col("candidates").list.len() == 1)
    assert alone["item"].to_list() == ["i38"] * 5
    assert alone["candidates"].to_list() == [["i38"]] * 5
    # The other places have what the stock, the pin and the limits left open, and estimates keep to
    # it: the first place has 11 songs and 24 others.
    stock = Recommender(ruled).catalog.filter(pl.col("kind") != "lamp")
    kinds = dict(stock.select("item", "kind").rows())
    for slate in log.events.partition_by("impression", maintain_order=True):
        items_there, left = slate["item"].to_list(), slate["candidates"].to_list()
        assert {*left[0]} == {*kinds} - {"i38"}
        for place in (2, 3):
            had = [kinds[item] for item in items_there[:place]]
            left_over = {kind for kind in kinds.values() if had.count(kind) < 2}
            assert {kinds[item] for item in left[place]} == left_over
    # Whatever a policy would show, here the pin stands: the five rounds count for it as they are.
    estimate = rounds(Run(ruled), log, "popularity")
    pinned = (log.events["item"] == "i38").to_torch()
    chances = estimate.target.gather(1, estimate.action[:, None])[:, 0]
    assert (chances[pinned] == 1).all()
