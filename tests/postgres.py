"""A PostgreSQL server of the programs that are installed, for as long as it is asked for."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import sqlalchemy as sa

PASSWORD = "a secret of the tests"


def binaries() -> Path | None:
    """The folder of the newest server's programs."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    there = [*map(Path, filter(None, [shutil.which("postgres")])), *installed]
    return next((path.parent for path in there if path.with_name("initdb").exists()), None)


class Server:
    """A PostgreSQL server that is up within its block; each test gets a database of its own."""

    def __init__(self, port: int) -> None:
        self.port, self._numbers = port, count()
        self._admin = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def __enter__(self) -> "Server":
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        # The server refuses to run as root.
        other = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self.user = other if os.getuid() == 0 else {}
        for path in (self.folder, secret) if self.user else ():
            shutil.chown(path, "postgres", "postgres")
        login = ["-U", "lightrec", "-A", "scram-sha-256", "--pwfile", secret]
        self.run("initdb", *login, "--no-sync", "-E", "UTF8", "--locale", "C")
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.run("pg_ctl", "stop", "-m", "immediate")  # nothing of it is needed any more
        shutil.rmtree(self.folder)

    def run(self, program: str, *words: object) -> None:
        """Run one of its programs."""
        command = [binaries() / program, "-D", self.folder / "data", *words]
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.folder}
        subprocess.run(list(map(str, command)), check=True, **quiet, **self.user)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        listening = f"-h 127.0.0.1 -p {self.port} -k ''"  # no socket, whose lock outlives a kill
        self.run("pg_ctl", "start", "-w", "-l", self.folder / "log", "-o", listening)

    def url(self, database: str, password: str = PASSWORD) -> str:
        url = sa.URL.create("postgresql", "lightrec", password, "127.0.0.1", self.port, database)
        url = url.set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    def new_database(self) -> str:
        name = f"store{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the server and to all processes that it has made."""
        first = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        made = subprocess.run(["pgrep", "-P", first], capture_output=True, text=True)
        for each in (first, *made.stdout.split()):
            with suppress(ProcessLookupError):
                os.kill(int(each), what)

    def kill(self) -> None:
        """Kill all its processes, without a goodbye."""
        self.send(signal.SIGKILL)
        # It names a process that may stay as a zombie, and be taken for one that runs.
        (self.folder / "data" / "postmaster.pid").unlink()

    def end_connections(self, database: str) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(query, (database,))
