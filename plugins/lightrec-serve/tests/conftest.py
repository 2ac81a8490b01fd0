"""A PostgreSQL server for the tests of the store, where its binaries are installed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

PASSWORD = "a secret of the tests"


class Server:
    """A server that is up; each test gets a database of its own."""

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
