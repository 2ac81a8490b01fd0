"""A client of the service, for programs in Python and for tables that are brought in at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date
from hashlib import sha256
from itertools import islice
from time import monotonic, sleep
from typing import Any, Final

import httpx
import polars as pl

from lightrec.errors import LightrecError
from lightrec_serve.access import VERSION

TOGETHER: Final = 1_000
"""Rows of a request."""
OWN: Final = ("item", "title", "text")
IDS: Final = ("item", "user", "id", "session", "answer")
"""Columns that may hold numbers, and are sent as text."""
Rows = pl.DataFrame | Iterable[Mapping[str, Any]]
"""A table, or its rows."""


class Refused(LightrecError):
    """The service has refused a request.

    :param status: of HTTP.
    """

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


class Client(AbstractContextManager["Client"]):
    """A service.

    What the service refuses for the moment, or cannot hear, is sent again. Events count once by
    their ids, so that a table may be sent again as a whole where sending it broke off.

    :param url: its address, such as ``http://127.0.0.1:8000``.
    :param token: of the role that the requests need.
    :param patience: seconds for which a request is sent again; 0 for once.
    :param fallback: number of people whose last slates are kept, of requests that say nothing but
        ``user`` and ``k``, and given again, as ``degraded``, where the service is busy or cannot be
        reached; who has none gets a stranger's, which names no session and no answer.
    :param transport: in place of the network, such as ``httpx.WSGITransport`` in tests.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        patience: float = 30.0,
        fallback: int = 0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self.patience, self.fallback = patience, fallback
        self._last: dict[str | None, dict[str, Any]] = {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, transport=transport)

    def ask(self, method: str, path: str, body: object = None, **query: Any) -> Any:
        """Send any request, such as ``ask("GET", "/items/7/similar", k=5)``, again where it is
        refused for the moment.

        :raises Refused: where it is refused for good, or for too long.
        """
        until = monotonic() + self.patience
        while True:
            wait, status, said = 1.0, 503, "Nobody answers."
            try:
                answer = self.http.request(method, VERSION + path, json=body, params=query)
            except httpx.TransportError as error:
                said = f"The service cannot be reached at {self.http.base_url}: {error}"
            else:
                if answer.is_success:
                    return answer.json()
                status, said = answer.status_code, answer.text
                with suppress(ValueError, KeyError):
                    said = answer.json()["error"]
                with suppress(ValueError):
                    wait = float(answer.headers.get("retry-after", wait))
            if status not in (429, 503) or monotonic() + wait > until:
                raise Refused(said, status)
            sleep(wait)

    def recommend(self, user: str | None = None, **ask: Any) -> dict[str, Any]:
        """A slate; see ``/docs`` for what may be asked.

        :raises Refused: where there is none, also of those that are kept.
        """
        try:
            slate: dict[str, Any] = self.ask("POST", "/recommend", ask | {"user": user})
        except Refused as error:
            kept = None if ask.keys() - {"k"} else self._last.get(user, self._last.get(None))
            if error.status != 503 or kept is None:
                raise
            own = kept if user in self._last else kept | {"session": None, "answer": None}
            return own | {"degraded": True, "items": kept["items"][: ask.get("k", 10)]}
        if self.fallback and not ask.keys() - {"k"}:
            self._last.pop(user, None)
            self._last[user] = slate
            if len(self._last) > self.fallback:  # a stranger's is kept
                del self._last[next(each for each in self._last if each is not None)]
        return slate

    def feedback(self, events: Rows) -> dict[str, int]:
        """Send events, oldest first, of any number.

        :param events: with ``item``, ``session`` or ``user``, and perhaps ``answer``, ``kind``,
            ``value``, ``time`` and ``id``; without one, equal events of a person count once.
        :returns: how many are stored, were known, and wait for the store.
        """
        counts = dict.fromkeys(("stored", "known", "waiting"), 0)
        for some in _some(events):
            sent = [row if "id" in row else row | {"id": _id(row)} for row in some]
            for name, count in self.ask("POST", "/feedback", {"events": sent}).items():
                counts[name] += count
        return counts

    def put_items(self, items: Rows) -> int:
        """Put items, of any number; columns that are not item, title or text are attributes."""
        return sum(self._put("/items", "items", some, OWN) for some in _some(items))

    def put_users(self, users: Rows) -> int:
        """Put attributes of people, of any number; ``user`` has their ids."""
        return sum(self._put("/users", "users", some, ("user",)) for some in _some(users))

    def _put(self, path: str, name: str, rows: Sequence[Mapping[str, Any]], own: Any) -> int:
        sent = []
        for row in rows:
            attributes = {column: value for column, value in row.items() if column not in own}
            sent.append({column: row[column] for column in own if column in row})
            sent[-1]["attributes"] = attributes
        return len(self.ask("PUT", path, {name: sent})[name])

    def __exit__(self, *_: object) -> None:
        self.http.close()


def _some(rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """Rows as JSON can hold them, :data:`TOGETHER` at a time, without what they leave empty."""
    named = iter(rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows)
    while part := list(islice(named, TOGETHER)):
        yield [{n: _plain(n, x) for n, x in row.items() if x is not None} for row in part]


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if name in IDS else value


def _id(event: Mapping[str, Any]) -> str:
    said = sorted((name, str(value)) for name, value in event.items())
    return sha256(repr(said).encode()).hexdigest()[:32]
