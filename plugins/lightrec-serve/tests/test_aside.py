"""Feedback that comes while the store is away: kept on a disk, and brought once."""

import shutil

import pytest
from lightrec_serve import personal
from lightrec_serve.store import Store, StoreError

from tests.asking import items, kept, send, slate_of


class Away(Store):
    """A store that can be away."""

    away = False

    def __getattribute__(self, name):
        public = name in ("known_of", "feedback", "session", "begin", "events", "newest")
        if public and Away.away:
            raise StoreError("The database is away.")
        return super().__getattribute__(name)


def bring(client):
    client.portal.call(client.app.state.service.inbox.bring)


def test_feedback_is_kept_while_the_store_is_away_and_brought_once(client, tmp_path, monkeypatch):
    monkeypatch.setattr("lightrec_serve.service.WATCHED", 3600)  # it is brought by the test

    def served():
        kept, aside = Away(f"sqlite:///{tmp_path}/kept.db"), Store(f"sqlite:///{tmp_path}/aside.db")
        return client(store=kept, aside=aside)

    with served() as http:
        slate, other = (slate_of(http, user="u3") for _ in range(2))
        http.app.state.service.store.flush()
        first, second, third = items(slate)[:3]
        send(http, slate, first, "accepted", "1")
        Away.away = True
        for _ in range(2):  # sent twice, it counts once
            assert send(http, slate, second, "accepted", "2")["waiting"] == 1
        unseen = next(f"i{n}" for n in range(48) if f"i{n}" not in items(slate))
        wrong = {"id": "3", "session": slate["session"], "answer": slate["answer"], "item": unseen}
        assert http.post("/feedback", json={"events": [wrong]}).status_code == 404
        outside = {"id": "4", "user": "u3", "item": third}
        said = http.post("/feedback", json={"events": [outside]}).json()
        assert said == {"stored": 0, "known": 0, "waiting": 1}
        strange = {"id": "5", "session": "nobody's", "item": third}
        both = {"events": [outside | {"id": "6"}, strange]}
        assert http.post("/feedback", json=both).status_code == 503, "it might be lost"
        shown = slate_of(http, session=slate["session"])
        assert shown["degraded"]
        assert second not in items(shown), "it counts at once where the session is known"
        assert "lightrec_feedback_waiting 2.0" in http.get("/metrics").text
        with pytest.raises(StoreError):
            bring(http)
    shutil.copy(tmp_path / "aside.db", tmp_path / "again.db")
    with served() as http:  # as after a crash
        assert http.app.state.service.inbox.waiting == 2
        Away.away = False
        bring(http)
        assert http.app.state.service.inbox.waiting == 0
        assert not any(personal.person(http.app.state.service.inbox.aside, "u3").values())
        stored = kept(http.app.state.service.store, user="u3")
        assert [(each.id, each.user, each.item) for each in stored] == [
            ("1", "u3", first),
            ("2", "u3", second),
            ("4", "u3", third),
        ]
        assert stored[1].answer == slate["answer"]
        assert not {first, second, third} & {*items(slate_of(http, session=other["session"]))}
    shutil.copy(tmp_path / "again.db", tmp_path / "aside.db")
    with served() as http:  # as where it was killed after it was brought
        bring(http)
        assert len(kept(http.app.state.service.store, user="u3")) == 3
