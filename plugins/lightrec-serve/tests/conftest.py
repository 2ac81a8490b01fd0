"""What the tests of the service share: databases, a tiny run, and a client of a service on it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from lightrec_serve.app import application
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Answer, Feedback, Store
from starlette.testclient import TestClient

PASSWORD = "a secret of the tests"
NOON = int(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp() * 1000)


class Server:
    """A PostgreSQL server that is up; each test gets a database of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = count()
        self._admin = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def url(self, database: str, password: str = PASSWORD) -> str:
        url = sa.URL.create("postgresql", "lightrec", password, "127.0.0.1", self.port, database)
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    def new_database(self) -> str:
        name = f"store{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def end_connections(self, database: str) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(query, (database,))

    def answers(self) -> bool:
        try:
            self._admin.connect().close()
        except sa.exc.OperationalError:
            return False
        return True


def binaries() -> Path | None:
    """Find the folder of the newest server's programs."""
    found = [Path(path).parent for name in ("postgres",) if (path := shutil.which(name))]
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found += [path.parent for path in sorted(debian, reverse=True)]
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    # The server refuses to run as root.
    other = {"user": "postgres", "group": "postgres", "extra_groups": []}
    user = other if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if user:
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        cluster = ["-D", folder / "data"]
        login = ["-U", "lightrec", "-A", "scram-sha-256", "--pwfile", secret]
        made = [programs / "initdb", *cluster, *login, "--no-sync", "-E", "UTF8", "--locale", "C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        listening = ["-h", "127.0.0.1", "-p", str(port), "-k", folder]
        with (folder / "log").open("w") as log:
            started = [programs / "postgres", *cluster, *listening]
            process = subprocess.Popen(started, stdout=log, stderr=log, cwd=folder, **user)
        try:
            up = Server(port)
            while not up.answers():
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)  # nothing tells when a server has come up
            yield up
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed any more
            process.wait()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database, of either kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("server").new_database()
    return f"sqlite:///{tmp_path}/serve.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """A store in SQLite alone, for what does not depend on the database."""
    with Store(f"sqlite:///{tmp_path}/serve.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def event() -> Callable[..., Feedback]:
    """Makes an event of a user who accepts an item."""

    def event(
        id: str, item: str = "i", session: str = "s", time: int = NOON, **more: object
    ) -> Feedback:
        fields = {"answer": None, "user": "u", "kind": "accepted", "value": None} | more
        return Feedback(id=id, session=session, item=item, time=time, **fields)

    return event


@pytest.fixture(scope="session")
def answer() -> Callable[..., Answer]:
    """Makes an answer that shows items, each with even odds."""

    def answer(
        id: str, items: Sequence[str] = ("i", "j"), time: int = NOON, **more: object
    ) -> Answer:
        fields = {
            "session": "s",
            "user": "u",
            "arm": "blend",
            "propensities": (0.5,) * len(items),
            "log_prob": -1.5,
            "ranked_by": "policy",
        }
        return Answer(id=id, time=time, items=tuple(items), **(fields | more))

    return answer


class Http(TestClient):
    """A client of the service that is opened for a test."""

    def numbers(self) -> list[dict[str, Any]]:
        """Give what is counted by arm, once all that waits is written."""
        self.app.state.service.store.flush()
        return self.get("/numbers").json()


@pytest.fixture
def client(tiny_run: Path, tmp_path: Path) -> Callable[..., AbstractContextManager[Http]]:
    """Opens a service on the store of the test, with an arm for each of some loaders."""

    @contextmanager
    def client(
        *loaders: Callable[[], RunEngine], weights: tuple[float, ...] = (), **options: Any
    ) -> Iterator[Http]:
        loaders = loaders or (lambda: RunEngine(tiny_run),)
        weights = weights or (1.0,) * len(loaders)
        arms = [
            Arm(f"arm-{place}", *pair)
            for place, pair in enumerate(zip(loaders, weights, strict=True))
        ]
        service = Service(arms, Store(f"sqlite:///{tmp_path}/served.db"))
        app = application(service, hidden=[str(tiny_run)], **options)
        with Http(app, raise_server_exceptions=False) as found:
            yield found

    return client
