"""A day of traffic in miniature: whether the service's memory stays flat over very many requests.

Visitors come and go: each asks for a slate, says what they did with it, and asks for another; now
and then somebody misspells a title, sends a body that is no request, draws from candidates, asks
what is like an item, or puts and deletes items, and the operator looks at the numbers. The service
remembers so many sessions, names and conditions; by three tenths of the requests it has met more.
"""

import asyncio
import json
import random
import string
from collections import Counter
from time import perf_counter

from benchmarks.measure import Cell, resident
from benchmarks.measure.serving import exported, served
from benchmarks.measure.serving_als import ITEMS
from benchmarks.measure.serving_client import Connection, quantiles, request

PORT, CLIENTS, K = 8395, 32, 5
TENTHS = 10


class Traffic:
    """Requests of many visitors, until there were enough."""

    def __init__(self, seed: int, most: int, process: int) -> None:
        self.draw, self.most, self.process = random.Random(seed), most, process
        self.statuses, self.times = Counter[int](), list[float]()
        self.memory = list[float]()

    async def send(self, connection: Connection, *what: object) -> tuple[int, bytes]:
        """Send a request, and note what became of it."""
        began = perf_counter()
        status, body = await connection.ask(request(*what))
        if what[1] == "/v1/recommend":
            self.times.append(perf_counter() - began)
        self.statuses[status] += 1
        if self.statuses.total() * TENTHS // self.most > len(self.memory):
            self.memory.append(1024 * resident(self.process, "VmRSS"))
            print(f"{self.memory[-1]:.0f} MB", dict(self.statuses), flush=True)
        return status, body

    async def visit(self, connection: Connection, number: int) -> None:
        """One visitor."""
        draw, send, user = self.draw, self.send, f"visitor {number}"
        history = [str(draw.randrange(ITEMS)) for _ in range(draw.randrange(1, 20))]
        ask = {"user": user, "history": history, "k": K}
        if draw.random() < 0.1:
            ask |= {"explore": True, "candidates": [str(draw.randrange(ITEMS)) for _ in range(9)]}
        if draw.random() < 0.1:
            ask["only"] = [f"share<{draw.random():.3f}"]
        status, body = await send(connection, "POST", "/v1/recommend", ask)
        if status != 200:
            return
        slate = json.loads(body)
        about = {"session": slate["session"], "answer": slate["answer"], "id": "1"}
        for place in slate["items"][:1]:
            await send(
                connection, "POST", "/v1/feedback", {"events": [about | {"item": place["item"]}]}
            )
        await send(connection, "POST", "/v1/recommend", {"session": slate["session"], "k": K})

    async def odd(self, connection: Connection, number: int) -> None:
        """Something else than a visit."""
        draw = self.draw
        word = "".join(draw.choices(string.ascii_lowercase, k=9))
        item = {"item": f"new-{number % 500}", "title": f"{word} of today"}
        what = draw.choice(
            (
                ("POST", "/v1/recommend", {"history": [f"wrd{word}"], "k": K}),
                ("POST", "/v1/recommend", {"k": word}),
                ("GET", f"/v1/items/{draw.randrange(ITEMS)}/similar"),
                ("GET", f"/v1/{word}"),
                ("PUT", "/v1/items", {"items": [item]}),
                ("DELETE", "/v1/items", {"items": [item["item"]]}),
                ("GET", "/v1/metrics"),
            )
        )
        await self.send(connection, *what)

    async def client(self, first: int) -> None:
        """One visitor after another."""
        connection, number = await Connection.open(PORT), first
        while self.statuses.total() < self.most:
            await self.visit(connection, number)
            if number % 50 == 0:
                await self.odd(connection, number)
            if number % 20_000 == 0:
                await self.send(connection, "GET", "/v1/numbers?hours=0.1")
            number += CLIENTS

    async def all(self) -> float:
        """Let all clients come; seconds that it took."""
        began = perf_counter()
        await asyncio.gather(*map(self.client, range(CLIENTS)))
        return perf_counter() - began


def measure(cell: Cell) -> dict[str, float]:
    """Export a ranker that has hardly learned, serve it, and let visitors come."""
    export, store = exported(cell), cell.out / "served.db"
    with served(cell, export, PORT, "--store", f"sqlite:///{store}") as service:
        traffic = Traffic(cell.seed, cell["requests"], service.process.pid)
        seconds = asyncio.run(traffic.all())
    early, late = traffic.memory[2], traffic.memory[-1]
    answered = traffic.statuses.total()
    return {
        "requests": answered,
        "requests_per_second": answered / seconds,
        "p99_ms": quantiles(traffic.times)["p99_ms"],
        "errors": sum(n for status, n in traffic.statuses.items() if status >= 500),
        "store_mb": store.stat().st_size / 2**20,
        "growth": late / early - 1,
        "memory_mb/3": early,
        "memory_mb/10": late,
    }
