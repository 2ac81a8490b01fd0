"""What the tests of the service share: databases, a tiny run, and a client of a service on it."""

from contextlib import contextmanager

import pytest
from lightrec_serve import batching
from lightrec_serve.app import application
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store
from starlette.testclient import TestClient

from tests.postgres import Server, binaries
from tests.processes import free_port


@pytest.fixture(scope="session")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed")
    with Server(free_port()) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of a new database, of either kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("server").new_database()
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture
def store(url):
    with Store(url) as opened:
        yield opened


@pytest.fixture
def lite(tmp_path):
    """A store in SQLite alone, for what does not depend on the database."""
    with Store(f"sqlite:///{tmp_path}/serve.db") as opened:
        yield opened


class Http(TestClient):
    """A client of the service that is opened for a test."""

    def numbers(self):
        """Counts of each arm, once all that waits is written."""
        self.app.state.service.store.flush()
        return self.get("/numbers").json()


@pytest.fixture
def client(tiny_run, tmp_path, monkeypatch):
    """Opens a service on the store of the test, with an arm for each of some loaders.

    It has time: what a slow machine does not get done soon is not refused.
    """
    monkeypatch.setattr(batching, "SOON", 60)
    monkeypatch.setattr(batching, "LATER", 60)

    @contextmanager
    def client(*loaders, weights=(), time=None, patience=60, store=None, aside=None, **options):
        loaders = loaders or (lambda: RunEngine(tiny_run),)
        weights = weights or (1.0,) * len(loaders)
        names = (f"arm-{place}" for place in range(len(loaders)))
        arms = list(map(Arm, names, loaders, weights))
        store = store or Store(f"sqlite:///{tmp_path}/served.db")
        service = Service(arms, store, time, patience, aside=aside)
        app = application(service, hidden=[str(tiny_run)], **options)
        with Http(app, raise_server_exceptions=False) as http:
            yield http

    return client
