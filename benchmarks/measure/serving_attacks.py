"""What one client who sends costly requests does to the slates of another one.

The attacker sends one request after another, each as soon as the last one is answered; of wishes it
does not await the answers. Service, attacker and the measured client are processes that share the
machine's cores.
"""

import json
import multiprocessing
import random
import socket
import string
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from time import perf_counter

from benchmarks.measure import Cell
from benchmarks.measure.serving import served
from benchmarks.measure.serving_client import quantiles, request

PORT = 8361
PAUSE = 0.01
"""Seconds between two requests of the client that is measured."""
USERS = 900
Request = tuple[str, str, object]


class Client:
    """A connection that is opened anew where the service closes it."""

    def __init__(self) -> None:
        self.connection = HTTPConnection("127.0.0.1", PORT, timeout=300)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        content = None if body is None else json.dumps(body)
        self.connection.request(method, path, content, {"content-type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def requests(attack: str, client: Client, draw: random.Random) -> Iterator[Request]:
    """An attack's requests, without end."""

    def word(length: int) -> str:
        return "".join(draw.choices(string.ascii_lowercase, k=length))

    slate = json.loads(client.ask("POST", "/recommend", {"user": "42"})[1])
    session, items = slate["session"], [place["item"] for place in slate["items"]]
    number = 0
    while True:
        number += 1
        about = {"session": session, "item": items[number % len(items)]}
        many = [word(9) for _ in range(100)]
        events = [{**about, "id": f"{number}-{each}"} for each in range(1_000)]
        new = [{"item": word(9), "title": f"{word(5)} {word(7)}"} for _ in range(200)]
        yield from {
            "misspelt titles": [
                ("POST", "/recommend", {"history": [f"Godfathr, The {each}" for each in many]})
            ],
            "conditions": [("POST", "/recommend", {"exclude": [f"title={each}" for each in many]})],
            "brackets": [("POST", "/recommend", {"only": ["(" * draw.randint(200, 290)]})],
            "wishes left behind": [("POST", "/recommend", {"ask": " ".join(many[:9])})],
            "explanations": [("POST", "/explain", about)],
            "new items": [("PUT", "/items", {"items": new})],
            "events of a session": [
                ("POST", "/feedback", {"events": events}),
                ("POST", "/recommend", {"session": session}),
            ],
            "an operator's numbers": [("GET", f"/numbers?hours={number}", None)],
        }[attack]


def attacking(attack: str, seed: int) -> None:
    """Attack until the process is ended."""
    client = Client()
    for method, path, body in requests(attack, client, random.Random(seed)):
        if attack == "wishes left behind":
            with suppress(OSError), socket.create_connection(("127.0.0.1", PORT)) as left:
                left.sendall(request(method, path, body))
            time.sleep(PAUSE)
            continue
        try:
            client.ask(method, path, body)
        except (OSError, HTTPException):
            client = Client()


def slates(seconds: float, seed: int) -> dict[str, float]:
    """Quantiles, in milliseconds, of slates that are asked for one after another, and errors."""
    client, draw, times, errors = Client(), random.Random(seed), list[float](), 0
    end = perf_counter() + seconds
    while (began := perf_counter()) < end:
        status, _ = client.ask("POST", "/recommend", {"user": str(draw.randint(1, USERS))})
        times.append(perf_counter() - began)
        errors += status != 200
        time.sleep(PAUSE)
    return quantiles(times) | {"max_ms": 1000 * max(times), "errors": errors}


def while_attacked(attack: str, seconds: float, seed: int) -> dict[str, float]:
    """The same while somebody attacks."""
    attacker = multiprocessing.get_context("spawn").Process(target=attacking, args=(attack, seed))
    attacker.start()
    time.sleep(2)
    try:
        return slates(seconds, seed)
    finally:
        attacker.kill()
        attacker.join()


def measure(cell: Cell) -> dict[str, float]:
    """Learn films hardly, with texts, serve them, and attack the service in each way."""
    run = cell.run("video", "--fast-dev-run", "--until", "evaluate")
    seconds, seed = cell["seconds"], cell.seed
    with served(cell, run.base, PORT, "--store", f"sqlite:///{cell.out / 'served.db'}"):
        slates(3, 0)
        found = {"quiet": slates(seconds, seed)}
        for attack in cell["attacks"]:
            found[attack] = while_attacked(attack, seconds, seed)
            found[attack]["times_quiet"] = found[attack]["p99_ms"] / found["quiet"]["p99_ms"]
    return {f"{who}/{name}": value for who, own in found.items() for name, value in own.items()}
