"""What the service shows of what a field opens and shuts, and of what standing rules say."""

import json
import re
import shutil
from datetime import datetime

import polars as pl
import pytest
from lightrec_ope.shown import rounds
from lightrec_serve.commands import serve, served
from lightrec_serve.run_engine import RunEngine
from lightrec_testing import tiny

from lightrec.data.domain import Domain
from lightrec.data.readers.base import read_tables
from lightrec.errors import RecipeError
from lightrec.recommend import Recommender
from lightrec.run import Run
from tests.asking import items, put, send, slate_of
from tests.changed import changed
from tests.courses import HOOKS, Courses, courses_run

PARTS = "from lightrec_rules.hooks import lightrec_list_parts\n"


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
    domain = f'lightrec_domains = hookimpl(lambda: {{"grown": "{__name__}:Grown"}})'
    lightrec_plugins.add("grown", f"{PARTS}{domain}")
    facts = {"settings": {"domain": "grown"}, "restricts": True}
    return changed(tiny_run, tmp_path / "grown", facts)


@pytest.mark.parametrize("more", [{}, {"explore": True}, {"new": 5}], ids=str)
def test_what_the_field_forbids_never_comes(client, grown, more):
    with client(lambda: RunEngine(grown)) as http:
        put(http, "plain", title="A song", text="song", attributes={"kind": "tea"})
        put(http, "adult", title="An adult song", text="song")
        put(http, "i0", title="tea for adults", text="tea", attributes={"kind": "tea"})
        odd = {*items(slate_of(http, user="u1", k=60, **more))}
        even = {*items(slate_of(http, user="u2", k=60, **more))}
        stranger = {*items(slate_of(http, history=["i5"], k=60, **more))}
        to = {user: {"k": 60} | ({"user": user} if user else {}) for user in ("u2", "u1", "")}
        found = [http.get("/items/i40/similar", params=whom).json() for whom in to.values()]
        like = [{each["item"] for each in some} for some in found]
    recommender = Recommender(grown)
    alike = [{*recommender.similar("i40", k=60, user=user or None)["item"]} for user in to]
    songs = {f"i{number}" for number in range(36, 48)}
    for forbidden in (odd, stranger):
        assert "plain" in forbidden
        assert not forbidden & ({"adult", "i0"} | songs)
    assert {"plain", "adult", "i0"} < even
    assert songs & even
    for some, *others in (like, alike):
        assert songs & some
        assert not songs & {*others[0], *others[1]}


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
    lightrec_plugins.add("courses", f"{PARTS}{HOOKS}")
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
