"""What the tests of the service share: databases, a tiny run, and a client of a service on it."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from lightrec_serve import batching
from lightrec_serve.app import application
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store
from starlette.testclient import TestClient

from tests.processes import free_port

PASSWORD = "a secret of the tests"


class Server:
    """A PostgreSQL server that is up; each test gets a database of its own."""

    def __init__(self, port, pid):
        self.port, self.pid = port, pid
        self._numbers = count()
        self._admin = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def url(self, database, password=PASSWORD):
        url = sa.URL.create("postgresql", "lightrec", password, "127.0.0.1", self.port, database)
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    def new_database(self):
        name = f"store{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def send(self, signal):
        """Send a signal to the server and to all processes that it has made."""
        made = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True)
        for each in (self.pid, *map(int, made.stdout.split())):
            os.kill(each, signal)

    def end_connections(self, database):
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(query, (database,))


def binaries():
    """The folder of the newest server's programs."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    there = [*map(Path, filter(None, [shutil.which("postgres")])), *installed]
    return next((path.parent for path in there if path.with_name("initdb").exists()), None)


@pytest.fixture(scope="session")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    # The server refuses to run as root.
    other = {"user": "postgres", "group": "postgres", "extra_groups": []}
    user = other if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))

    def run(program, *words):
        command = [programs / program, "-D", folder / "data", *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)

    try:
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if user:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        login = ["-U", "lightrec", "-A", "scram-sha-256", "--pwfile", secret]
        run("initdb", *login, "--no-sync", "-E", "UTF8", "--locale", "C")
        port = free_port()
        listening = f"-h 127.0.0.1 -p {port} -k {folder}"
        run("pg_ctl", "start", "-w", "-l", folder / "log", "-o", listening)
        yield Server(port, int((folder / "data/postmaster.pid").read_text().split()[0]))
        run("pg_ctl", "stop", "-m", "immediate")  # nothing of it is needed any more
    finally:
        shutil.rmtree(folder)


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
