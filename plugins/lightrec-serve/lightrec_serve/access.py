"""Who may do what, how much and how often: tokens by role, and limits."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Final, Literal

import yaml
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrec.errors import RecipeError, no_such

Role = Literal["read", "feedback", "admin"]
ROLES: Final[Mapping[str, int]] = {"read": 1, "feedback": 2, "admin": 3}
"""Each may do what those before it may."""
OPEN: Final = ("/health", "/ready", "/page/", "/docs", "/openapi.json")
"""Paths that ask for no token, like ``/``: none of it knows anybody."""
NEEDED: Final[Mapping[tuple[str, str], Role]] = {
    ("POST", "/feedback"): "feedback",
    ("PUT", "/items"): "admin",
    ("DELETE", "/items"): "admin",
    ("DELETE", "/feedback"): "admin",
    ("POST", "/admin/reload"): "admin",
}
"""Requests that ask for more than the role ``read``."""
OF_PEOPLE: Final = "/people/"
"""Begin of paths that ask for the role ``admin``: they tell all that is known of a person."""
CLIENTS: Final = 10_000
"""Clients whose rate is remembered."""


@dataclass(frozen=True)
class Limits:
    """The most that a request may ask for.

    :param body: bytes.
    :param rate: requests a second of one client, in the mean; 0 for no limit. Four times as many
        may come at once.
    """

    body: int = 1 << 20
    k: int = 200
    history: int = 1_000
    candidates: int = 10_000
    rate: float = 0.0


def read_tokens(path: Path) -> dict[str, Role]:
    """Read a YAML file such as ``{read: [abc…], feedback: [def…], admin: [ghi…]}``.

    :returns: the role of each token.
    :raises RecipeError: where it cannot be read, or a token is short or stands twice.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"The file of tokens cannot be read: {error}") from None
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(f"{path} should have tokens by role, such as `read: [a-long-secret]`.")
    roles: dict[str, Role] = {}
    for role, tokens in content.items():
        if role not in ROLES:
            raise RecipeError(f"{path}: {no_such('a role', str(role), ROLES)}")
        for token in [tokens] if isinstance(tokens, str) else tokens or ():
            if not isinstance(token, str) or len(token) < 16:
                raise RecipeError(f"{path}: a token of {role} is no text of 16 letters or more.")
            if token in roles:
                raise RecipeError(f"{path}: a token stands twice; give each role its own.")
            roles[token] = role
    if not roles:
        raise RecipeError(f"{path} names no token.")
    return roles


class Gate:
    """Refuses what may not pass before the application reads it: an ASGI middleware.

    :param app: the application.
    :param limits: of which body and rate are held here.
    :param tokens: the role of each; None where everybody may do everything.
    :param counted: told of each request its method, the path of its route, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        tokens: Mapping[str, Role] | None,
        counted: Callable[[str, str, int, float], None],
    ) -> None:
        self.app, self.limits, self.counted = app, limits, counted
        self._tokens: Sequence[tuple[bytes, Role]] | None = None
        if tokens is not None:
            self._tokens = [(token.encode(), role) for token, role in tokens.items()]
        self._buckets: dict[str, tuple[float, float]] = {}
        """Requests that each client may still send at once, as of a moment."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 500, perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._passed(scope, receive, noted)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.counted(scope["method"], path, status, perf_counter() - began)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value for name, value in scope["headers"]}
        path = scope["path"]
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        if refused := self._refused(scope["method"], path, token):
            await refused(scope, receive, send)
            return
        # A token that nobody has looked at is no name: each request could bring another.
        named = token.decode("latin-1") if self._tokens is not None else ""
        client = named or (scope.get("client") or ("",))[0]
        if self.limits.rate and not self._has_room(client):
            said = f"More than {self.limits.rate:g} requests a second: wait a moment."
            await _problem(429, said, {"retry-after": "1"})(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if len(length) > 15 or not length.isdigit() or int(length) > self.limits.body:
            await _problem(413, self._too_long)(scope, receive, send)
            return
        await self.app(scope, self._bounded(receive), send)

    @property
    def _too_long(self) -> str:
        return f"The body is longer than {self.limits.body:,} bytes."

    def _bounded(self, receive: Receive) -> Receive:
        """Refuse a body while it comes: it may be sent in parts, without its length."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limits.body:
                raise HTTPException(413, self._too_long)
            return message

        return counted

    def _refused(self, method: str, path: str, token: bytes) -> JSONResponse | None:
        if self._tokens is None or path == "/" or path.startswith(OPEN):
            return None
        role: Role | None = None
        for each, its in self._tokens:  # all are compared, so that time tells nothing
            if hmac.compare_digest(each, token):
                role = its
        if role is None:
            said = "Send a token that is known, as `Authorization: Bearer TOKEN`."
            return _problem(401, said, {"www-authenticate": "Bearer"})
        needed = NEEDED.get((method, path.rstrip("/")), "read")
        needed = "admin" if path.startswith(OF_PEOPLE) else needed
        if ROLES[role] < ROLES[needed]:
            said = f"This needs a token of the role {needed}; yours is of the role {role}."
            return _problem(403, said)
        return None

    def _has_room(self, client: str) -> bool:
        now, most = monotonic(), max(1.0, 4 * self.limits.rate)
        if len(self._buckets) >= CLIENTS and client not in self._buckets:
            self._buckets.pop(next(iter(self._buckets)))
        left, seen = self._buckets.get(client, (most, now))
        left = min(most, left + (now - seen) * self.limits.rate)
        self._buckets[client] = left - (left >= 1), now
        return left >= 1


def _problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
