"""Feedback that comes while the store is away: kept on a disk, and brought once."""

import shutil

import pytest
from lightrec_serve.store import Store, StoreError

from tests.asking import items, kept, send, slate_of


@pytest.fixture
def served(client, tmp_path, monkeypatch):
    """Opens a service whose store can be away, and a switch for that."""

    class Away(Store):
        away = False

        def __getattribute__(self, name):
            public = name in ("known_of", "feedback", "session", "begin", "events", "newest")
            if public and Away.away:
                raise StoreError("The database is away.")
            return super().__getattribute__(name)

    def served():
        monkeypatch.setattr("lightrec_serve.service.WATCHED", 3600)  # it is brought by the test
        kept, aside = Away(f"sqlite:///{tmp_path}/kept.db"), Store(f"sqlite:///{tmp_path}/aside.db")
        return client(store=kept, aside=aside)

    return served, Away


def bring(client):
    client.portal.call(client.app.state.service.inbox.bring)


def test_feedback_is_kept_while_the_store_is_away_and_brought_once(served, tmp_path):
    served, store = served
    with served() as client:
        slate, other = (slate_of(client, user="u3") for _ in range(2))
        client.app.state.service.store.flush()
        first, second, third = items(slate)[:3]
        send(client, slate, first, "accepted", "1")
        store.away = True
        for _ in range(2):  # sent twice, it counts once
            assert send(client, slate, second, "accepted", "2")["waiting"] == 1
        unseen = next(f"i{n}" for n in range(48) if f"i{n}" not in items(slate))
        wrong = {"id": "3", "session": slate["session"], "answer": slate["answer"], "item": unseen}
        assert client.post("/feedback", json={"events": [wrong]}).status_code == 404
        outside = {"id": "4", "user": "u3", "item": third}
        said = client.post("/feedback", json={"events": [outside]}).json()
        assert said == {"stored": 0, "known": 0, "waiting": 1}
        strange = {"id": "5", "session": "nobody's", "item": third}
        both = {"events": [outside | {"id": "6"}, strange]}
        assert client.post("/feedback", json=both).status_code == 503, "it might be lost"
        shown = slate_of(client, session=slate["session"])
        assert shown["degraded"]
        assert second not in items(shown), "it counts at once where the session is known"
        assert "lightrec_feedback_waiting 2.0" in client.get("/metrics").text
        with pytest.raises(StoreError):
            bring(client)
    shutil.copy(tmp_path / "aside.db", tmp_path / "again.db")
    with served() as client:  # as after a crash
        assert client.app.state.service.inbox.waiting == 2
        store.away = False
        bring(client)
        assert client.app.state.service.inbox.waiting == 0
        assert not any(client.app.state.service.inbox.aside.person("u3").values())
        stored = kept(client.app.state.service.store, user="u3")
        assert [(each.id, each.user, each.item) for each in stored] == [
            ("1", "u3", first),
            ("2", "u3", second),
            ("4", "u3", third),
        ]
        assert stored[1].answer == slate["answer"]
        assert not {first, second, third} & {*items(slate_of(client, session=other["session"]))}
    shutil.copy(tmp_path / "again.db", tmp_path / "aside.db")
    with served() as client:  # as where it was killed after it was brought
        bring(client)
        assert len(kept(client.app.state.service.store, user="u3")) == 3
