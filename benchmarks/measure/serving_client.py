"""Clients of a service that ask as fast as they are answered.

Requests are written to sockets as bytes made beforehand, since a client's own time counts on the
cores that it shares with the service.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np


def request(method: str, path: str, body: object = None) -> bytes:
    """The bytes of a request over a connection that stays."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content


class Connection:
    """A connection that stays."""

    @classmethod
    async def open(cls, port: int) -> "Connection":
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def ask(self, content: bytes) -> tuple[int, bytes]:
        """The status and the body."""
        self.writer.write(content)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        start = lower.index(b"content-length:") + 15
        length = int(lower[start : lower.index(b"\r\n", start)])
        return int(head[9:12]), await self.reader.readexactly(length)


def quantiles(times: list[float]) -> dict[str, float]:
    """Two of them, in milliseconds, of seconds."""
    p50, p99 = np.quantile(times, [0.5, 0.99]) * 1000
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


async def load(port: int, requests: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Ask for some seconds, and give the answers a second, quantiles in milliseconds and errors."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    end = perf_counter() + seconds

    async def client(number: int) -> None:
        connection = await Connection.open(port)
        at = number * 7919
        while (began := perf_counter()) < end:
            status, _ = await connection.ask(requests[at % len(requests)])
            times.append(perf_counter() - began)
            statuses[status] += 1
            at += 1

    began = perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    took = perf_counter() - began
    return {
        "answers_per_second": len(times) / took,
        **quantiles(times),
        "errors": float(sum(n for status, n in statuses.items() if status != 200)),
    }


if __name__ == "__main__":
    port, clients, seconds, file = sys.argv[1:]
    requests = json.loads(Path(file).read_text())
    bodies = [request("POST", path, body) for path, body in requests]
    print(json.dumps(asyncio.run(load(int(port), bodies, int(clients), float(seconds)))))
