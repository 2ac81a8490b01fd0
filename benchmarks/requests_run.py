"""One part of ``requests``: ``python -m benchmarks.requests_run PART RUN OUT SEED``.

Servers are forked from a process that has imported everything and started no thread, so that 40 of
them do not import it 40 times; each is `lightrec serve` otherwise.
"""

import atexit
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import sqlalchemy as sa

TOKENS = {"read": "r" * 20, "feedback": "f" * 20, "admin": "a" * 20}
ADMIN = TOKENS["admin"]
MALFORMED, GENERATED, WARM_UP, KILLS, CLIENTS = 10_000, 1_500, 500, 20, 8
JSON = {"content-type": "application/json"}
LIMIT = 1 << 20
PARENT = """
import os, sys
import lightrec_serve.app, lightrec_serve.run_engine, lightrec_serve.store, uvicorn
from lightrec_serve.commands import serve
from pathlib import Path
for line in sys.stdin:
    run, port, store, tokens, log = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(2, 1)
        serve(Path(run), port=int(port), store=store, tokens=Path(tokens) if tokens else None)
        os._exit(0)
    os.write(1, f"{pid}\\n".encode())
    os.write(1, f"{os.waitpid(pid, 0)[1]}\\n".encode())
"""


class Servers:
    """Starts one server after the other, on a port of its own."""

    def __init__(self, run: Path, out: Path, store: str, tokens: bool = False) -> None:
        self.run, self.store, self.log = run, store, out / "log"
        self.tokens = out / "tokens.yaml" if tokens else ""
        if tokens:
            Path(self.tokens).write_text(json.dumps(TOKENS))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-c", PARENT]
        pipe = subprocess.PIPE
        self.parent = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.pid: int | None = None
        atexit.register(self.close)

    def start(self) -> int:
        """Start a server, and give its process once it answers."""
        words = self.run, self.port, self.store, self.tokens, self.log
        self.parent.stdin.write("\t".join(map(str, words)) + "\n")
        self.parent.stdin.flush()
        self.pid = pid = int(self.parent.stdout.readline())
        while True:
            with suppress(OSError, HTTPException):
                if self.ask("GET", "/ready")[0] == 200:
                    return pid
            time.sleep(0.05)

    def end(self, pid: int, how: signal.Signals) -> int:
        """End it, and give its status."""
        os.kill(pid, how)
        status, self.pid = int(self.parent.stdout.readline()), None
        return status

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask once, over a connection of its own."""
        connection = self.connect()
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, JSON | headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def close(self) -> None:
        if self.pid is not None:  # something went wrong here
            os.kill(self.pid, signal.SIGKILL)
            self.pid = None
        self.parent.stdin.close()
        self.parent.wait()


def resident(pid: int) -> float:
    """Give a process's memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# Malformed requests ------------------------------------------------------------------------------

VALID: list[tuple[str, str, Any]] = [
    (
        "POST",
        "/recommend",
        {"user": "u3", "history": ["i1"], "k": 5, "only": ["kind=tea"], "time": "2026-01-01"},
    ),
    ("POST", "/recommend", {"candidates": ["i1", "i2"], "new": 1, "explore": False, "ask": "tea"}),
    (
        "POST",
        "/feedback",
        {"events": [{"id": "x", "session": "s", "item": "i1", "kind": "accepted", "value": 1.0}]},
    ),
    ("PUT", "/items", {"items": [{"item": "x", "text": "a", "attributes": {"kind": "tea"}}]}),
    ("DELETE", "/items", {"items": ["no such item"]}),
    ("POST", "/explain", {"session": "s", "item": "i1"}),
]
WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    10**6,
    10**400,
    math.nan,
    math.inf,
    1e308,
    "",
    "\0",
    "\ud800",
    "no such item",
    "x" * 5000,
    "' OR 1=1 --",
    "../../etc/passwd",
    "9999-12-31T23:59:59-12:00",
    "0001-01-01",
    [],
    {},
    [[]],
    {"a": {"b": None}},
    ["\ud83d"],
]


def mutated(value: Any, chance: random.Random) -> Any:
    """Put something wrong into one place."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice([*value])
        if chance.random() < 0.1:
            return value | {chance.choice(["ü", "", "\ud800", "k" * 999]): value[key]}
        return value | {key: mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [mutated(each, chance) for each in value]
    return chance.choice(WRONG)


def broken(chance: random.Random) -> tuple[str, str, bytes]:
    """Make a request that is wrong in one of several ways."""
    method, path, body = chance.choice(VALID)
    kind = chance.random()
    text = json.dumps(mutated(body, chance) if kind > 0.25 else body).encode()
    if kind < 0.05:
        text = text[: chance.randrange(len(text))]
    elif kind < 0.10:
        text = chance.randbytes(chance.randrange(200))
    elif kind < 0.12:
        text = chance.choice([b"[", b'{"a":']) * chance.randrange(1, 50_000)
    elif kind < 0.13:
        text = b'{"user":"' + b"x" * chance.randrange(LIMIT, 2 * LIMIT) + b'"}'
    elif kind < 0.20:
        query = chance.choice(["k=0", "k=-1", "k=9999", "k=nan", "arm=x", "%00=%ff", "k=1&k=x"])
        item = chance.choice(["i1", "i1%2F..", "%00", "%ff%fe", "a" * 400, "", "..%2f..%2fetc"])
        method, path, text = "GET", f"/items/{item}/similar?{query}", b""
    elif kind < 0.25:
        method, path = (
            chance.choice(["PATCH", "TRACE", "GET"]),
            chance.choice(
                [
                    path,
                    "/page/..%2f..%2fapp.py",
                    "/page/%00",
                    "/numbers?hours=nan",
                    "/" + "a" * 9000,
                ]
            ),
        )
    return method, path, text


RAW = [
    b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n{}",
    b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
    b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    b"POST /recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /ready HTTP/9.9\r\nhost: x\r\n\r\n",
    b"GET /ready HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
]
"""What is no HTTP, or contradicts itself."""


def raw(port: int, sent: bytes) -> str:
    """Send bytes as they are; give the status, or ``closed``."""
    words: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        words = connection.recv(100).split()
    return words[1].decode() if len(words) > 1 else "closed"


def generated(specification: dict[str, Any], count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Let schemathesis make requests that break the service's own OpenAPI."""
    import hypothesis
    import schemathesis
    from hypothesis.errors import Unsatisfiable

    operations = [
        o.ok() for o in schemathesis.openapi.from_dict(specification).get_all_operations()
    ]
    cases: list[Any] = []
    for operation in operations:
        strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
        found = hypothesis.given(strategy)(lambda case: cases.append(case))
        found = hypothesis.settings(
            max_examples=count // 7,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )(found)
        with suppress(Unsatisfiable):  # nothing can be wrong with what takes nothing
            hypothesis.seed(seed)(found)()
    for case in cases[:count]:
        body = case.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode() if isinstance(body, dict | list | str) else b""
        yield case.method, case.formatted_path, case.query or {}, body


def malformed(run: Path, out: Path, seed: int) -> dict[str, float]:
    """Send 10,000 malformed requests, a tenth of them with wrong tokens."""
    from urllib.parse import urlencode

    chance, found = random.Random(seed), Counter[str]()
    servers = Servers(run, out, f"sqlite:///{out}/served.db", tokens=True)
    pid = servers.start()
    admin = {"authorization": f"Bearer {ADMIN}"}
    connection = servers.connect()

    def send(method: str, path: str, body: bytes, token: str) -> None:
        nonlocal connection
        try:
            connection.request(method, path, body, JSON | {"authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text, status = answer.read(), f"{answer.status // 100}xx"
        except (OSError, HTTPException, UnicodeError, ValueError):
            connection.close()
            connection, text, status = servers.connect(), b"", "closed"
        if token not in TOKENS.values():
            found["wrong_tokens"] += 1
            found["wrong_tokens_let_in"] += status == "2xx"
            return
        found[status] += 1
        if status == "5xx":
            print(method, path[:200], body[:200], text, file=sys.stderr)
        leaks = (b"Traceback", str(run).encode(), b"site-packages", b".py")
        found["paths_in_answers"] += any(leak in text for leak in leaks)

    servers.ask("POST", "/recommend", {"session": "s", "user": "u3"}, **admin)
    for number in range(WARM_UP):
        send(*broken(chance), ADMIN)
        servers.ask("POST", "/recommend", {"session": "s", "k": 1 + number % 9}, **admin)
    found.clear()
    before, middle = resident(pid), 0.0
    _, specification = servers.ask("GET", "/openapi.json")
    for method, path, query, body in generated(specification, GENERATED, seed):
        send(method, f"{path}?{urlencode(query, doseq=True, errors='replace')}", body, ADMIN)
    ours = MALFORMED - sum(found.values()) + found["paths_in_answers"]
    for number in range(ours):
        if number == ours // 2:
            middle = resident(pid)
        if number % 25 == 0:
            status = raw(servers.port, chance.choice(RAW))
            found["closed" if status == "closed" else f"{status[0]}xx"] += 1
        else:
            wrong = chance.choice(["", "x", "a" * 19, "a" * 21, "ä", ADMIN.upper()])
            send(*broken(chance), ADMIN if number % 10 else wrong)
    after = resident(pid)
    assert servers.ask("POST", "/recommend", {"user": "u3"}, **admin)[0] == 200
    servers.end(pid, signal.SIGTERM)
    servers.close()
    memory = {"mib_before": before, "mib_halfway": middle, "mib_after": after}
    return {"5xx": 0.0} | dict(sorted(found.items())) | memory


# Kills -------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Asks for slates and sends feedback until the server is gone.

    ``sent`` has all events before they are sent, ``acknowledged`` those that are stored for good.

    :param each: whether each request has a connection of its own.
    """

    def __init__(self, servers: Servers, name: str, each: bool = False) -> None:
        super().__init__(name=name, daemon=True)
        self.servers, self.each = servers, each
        self.sent: list[dict[str, str]] = []
        self.acknowledged: list[dict[str, str]] = []
        self.answered = self.cut = 0

    def run(self) -> None:
        connection = self.servers.connect()
        number = 0
        while True:
            try:
                session = f"{self.name} {number // 10}"  # accepted items do not come again
                slate = self.ask(connection, "/recommend", {"session": session})
                event = {"id": f"{self.name} {number}", "session": session}
                event |= {"item": slate["items"][number % 5]["item"], "answer": slate["answer"]}
                self.sent.append(event)
                said = self.ask(connection, "/feedback", {"events": [event]})
                if said == {"stored": 1, "known": 0}:
                    self.acknowledged.append(event)
                number += 1
            except ConnectionRefusedError:
                return
            except (OSError, HTTPException, ValueError):
                self.cut += 1
                return

    def ask(self, connection: HTTPConnection, path: str, body: Any) -> Any:
        headers = JSON | ({"connection": "close"} if self.each else {})
        connection.request("POST", path, json.dumps(body), headers)
        answer: HTTPResponse = connection.getresponse()
        text = answer.read()
        self.answered += 1
        if answer.status != 200:
            raise RuntimeError(f"{path} gave {answer.status}: {text!r}")
        return json.loads(text)


def kills(run: Path, out: Path, seed: int, store: str) -> dict[str, float]:
    """Kill a server 20 times under load; send again what was acknowledged and what was not."""
    from lightrec_serve.tables import FEEDBACK

    chance, servers = random.Random(seed), Servers(run, out, store)
    lost = 0
    acknowledged: list[dict[str, str]] = []
    unsure: list[dict[str, str]] = []
    for kill in range(KILLS + 1):
        pid = servers.start()
        for event in acknowledged[-CLIENTS * 5 :]:
            lost += servers.ask("POST", "/feedback", {"events": [event]})[1]["known"] != 1
        for event in unsure[-CLIENTS:]:
            servers.ask("POST", "/feedback", {"events": [event]})
        if kill == KILLS:
            servers.end(pid, signal.SIGTERM)
            break
        clients = [Client(servers, f"{kill}-{number}") for number in range(CLIENTS)]
        for client in clients:
            client.start()
        enough, until = chance.randrange(100), time.monotonic() + 20
        while sum(len(c.acknowledged) for c in clients) < enough and time.monotonic() < until:
            time.sleep(0.002)
        servers.end(pid, signal.SIGKILL)
        for client in clients:
            client.join()
            acknowledged += client.acknowledged
            known = {event["id"] for event in client.acknowledged}
            unsure += [event for event in client.sent if event["id"] not in known]
    servers.close()
    engine = sa.create_engine(store)
    with engine.connect() as connection:
        stored = Counter(connection.scalars(sa.select(FEEDBACK.c.id)))
    engine.dispose()
    lost += sum(not stored[event["id"]] for event in acknowledged)
    twice = sum(count > 1 for count in stored.values())
    missing = sum(not stored[event["id"]] for event in unsure)
    return {
        "kills": KILLS,
        "acknowledged": len(acknowledged),
        "acknowledged_and_lost": lost,
        "counted_twice": twice,
        "sent_again_after_the_kill": len(unsure),
        "of_these_missing": missing,
    }


def stop(run: Path, out: Path, seed: int) -> dict[str, float]:
    """Tell a server 5 times to end under load: what it had begun, somebody got as an answer."""
    servers, found = Servers(run, out, f"sqlite:///{out}/served.db"), Counter[str]()
    for time_over in range(5):
        servers.log = out / f"log-{time_over}"
        pid = servers.start()
        clients = [Client(servers, f"{time_over}-{number}", each=True) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(1.0)
        began = time.monotonic()
        found["failed_ends"] += servers.end(pid, signal.SIGTERM) not in (0, signal.SIGTERM)
        found["slowest_end_ms"] = max(
            found["slowest_end_ms"], round(1000 * (time.monotonic() - began))
        )
        for client in clients:
            client.join()
        lines = [line for line in servers.log.read_text().splitlines() if line.startswith("{")]
        done = [r for line in lines if (r := json.loads(line))["message"] == "request"]
        begun = sum(record["path"] in ("/recommend", "/feedback") for record in done)
        answered = sum(client.answered for client in clients)
        found["answered"] += answered
        found["begun_and_not_answered"] += begun - answered
    servers.close()
    return {name: float(value) for name, value in found.items()}


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Start a server of its own; it refuses to run as root."""
    found = shutil.which("initdb")
    programs = Path(found).parent if found else max(Path("/usr/lib/postgresql").glob("*/bin"))
    user: dict[str, Any] = {}
    folder.mkdir()
    if os.getuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
        for above in list(folder.parents)[:-2]:
            above.chmod(above.stat().st_mode | 0o011)
    made = [programs / "initdb", "-D", folder / "data", "-U", "me", "-A", "trust", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listen = ["-h", "127.0.0.1", "-p", str(port), "-k", folder]
    command = [programs / "postgres", "-D", folder / "data", *listen]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, **quiet, **user)
    try:
        url = f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
        engine = sa.create_engine(url)
        while True:
            with suppress(sa.exc.OperationalError):
                engine.connect().close()
                break
            time.sleep(0.1)
        engine.dispose()
        yield url
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def main() -> None:
    """Run a part, and write what was counted."""
    part, run, out, seed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "malformed": lambda: malformed(run, out, seed),
        "stop": lambda: stop(run, out, seed),
        "kills-sqlite": lambda: kills(run, out, seed, f"sqlite:///{out}/served.db"),
    }
    if part == "kills-postgresql":
        with postgresql(out / "postgresql") as url:
            found = kills(run, out, seed, url)
    else:
        found = parts[part]()
    (out / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
