"""Two services and one PostgreSQL: whether one history comes of what both acknowledge under kills.

Four clients put and delete items of their own, ask for slates of these, and send feedback, each
time to either service. Now and then a service or the database is killed and begun anew. What was
not acknowledged is done again. A checker then reads the store.
"""

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from lightrec_serve.store import Store

from benchmarks.measure import Cell
from benchmarks.measure.serving import Served, ask, served
from tests.postgres import Server

PORTS = (8371, 8372)
DATABASE = 8373
CLIENTS = 4
WRONG = ("deleted and shown", "put and not shown")
OPERATIONS = ("put", "delete", "slate", "slate", "feedback", "feedback")


class Client(threading.Thread):
    """Does things one after another, with items of its own, and checks what it is shown."""

    def __init__(self, number: int, operations: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.number, self.operations, self.draw = number, operations, random.Random(seed + number)
        self.there, self.gone = set[str](), set[str]()
        self.slates: list[tuple[str, str]] = []
        self.sent: dict[tuple[str, str], bool] = {}
        """Events by session and id, and whether they were acknowledged."""
        self.found = Counter[str]()

    def run(self) -> None:
        """Do them all."""
        for step in range(self.operations):
            getattr(self, f"do_{self.draw.choice(OPERATIONS)}")(step)

    def until_done(self, method: str, path: str, body: object) -> dict | None:
        """Ask either service until one has done it; None where it says that there is none."""
        while True:
            try:
                return ask(method, path, body, self.draw.choice(PORTS))
            except HTTPError as error:
                if error.code == 404:
                    return None
            except (OSError, HTTPException):
                pass
            time.sleep(0.05)

    def do_put(self, step: int) -> None:
        """Put an item."""
        item = f"{self.number}-{step}"
        self.until_done("PUT", "/items", {"items": [{"item": item, "title": f"film {item}"}]})
        self.there.add(item)

    def do_delete(self, step: int) -> None:
        """Delete an item."""
        if self.there:
            item = self.draw.choice(sorted(self.there))
            self.until_done("DELETE", "/items", {"items": [item]})
            self.there.remove(item)
            self.gone.add(item)

    def do_slate(self, step: int) -> None:
        """Ask for a slate of all items that there are or were, and see what it holds."""
        every = [*self.there, *self.gone]
        if not self.there:
            return
        body = {"candidates": every, "k": min(200, len(every))}
        slate = self.until_done("POST", "/recommend", body)
        if slate is None or slate["degraded"]:
            self.found["degraded"] += 1
            return
        shown = {place["item"] for place in slate["items"]}
        self.found["slates"] += 1
        self.found["deleted and shown"] += len(shown & self.gone)
        self.found["put and not shown"] += len(self.there - shown) if len(every) <= 200 else 0
        self.slates.append((slate["session"], self.draw.choice(sorted(shown))))

    def do_feedback(self, step: int) -> None:
        """Send an event, now and then one that was sent before."""
        if not self.slates:
            return
        session, item = self.draw.choice(self.slates[-50:])
        event = {"session": session, "id": str(self.draw.randrange(3)), "item": item}
        self.sent.setdefault((session, event["id"]), False)
        # A slate of the last moment before a kill may not be stored: the session is then unknown.
        done = self.until_done("POST", "/feedback", {"events": [event]})
        self.sent[session, event["id"]] |= done is not None


def disturbed(cell: Cell, run: Path, database: Server, clients: list[Client]) -> Counter[str]:
    """Serve twice and let clients do their things, while services and database are killed."""

    def begun(port: int) -> Served:
        options = ("--store", database.url("postgres"), "--by", "blend")
        return stack.enter_context(served(cell, run, port, *options))

    draw, kills = random.Random(cell.seed), Counter[str]()
    with ExitStack() as stack:
        services = {port: begun(port) for port in PORTS}
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            time.sleep(cell["pause"])
            if draw.random() < 1 / 3:
                database.kill()
                time.sleep(1)
                database.start()
                kills["database"] += 1
            else:
                port = draw.choice(PORTS)
                services[port].process.kill()
                services[port].process.wait()
                services[port] = begun(port)
                kills["service"] += 1
        for client in clients:
            client.join()
        while any(ask("GET", "/ready", port=port)["waiting"] for port in PORTS):
            time.sleep(0.1)
    return kills


def measure(cell: Cell) -> dict[str, float]:
    """Let them do 10,000 things, kill, and count."""
    run = cell.run("video", "--fast-dev-run", "--until", "ranker", "--values.text_encoder", "null")
    clients = [Client(n, cell["operations"] // CLIENTS, cell.seed) for n in range(CLIENTS)]
    with Server(DATABASE) as database:
        kills, url = disturbed(cell, run.base, database, clients), database.url("postgres")
        with Store(url) as store, store.engine.connect() as connection:
            query = "SELECT session, id FROM serve_feedback"
            stored = Counter(map(tuple, connection.exec_driver_sql(query)))
    found, sent = sum((client.found for client in clients), Counter[str]()), dict[tuple, bool]()
    for client in clients:
        sent |= client.sent
    return {
        "operations": cell["operations"],
        "kills of a service": kills["service"],
        "kills of the database": kills["database"],
        "acknowledged events": sum(sent.values()),
        "events lost": sum(done and event not in stored for event, done in sent.items()),
        "events twice": sum(count - 1 for count in stored.values()),
        **{name: found[name] for name in ("slates", "degraded", *WRONG)},
    }
