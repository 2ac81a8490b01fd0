"""Who may do what, how much and how often: tokens by role, and limits."""

import asyncio
import hmac
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import Final, Literal
from urllib.parse import urlsplit

import yaml
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrec.api import RecipeError
from lightrec.errors import no_such

Role = Literal["read", "feedback", "admin"]
ROLES: Final[Mapping[str, int]] = {"read": 1, "feedback": 2, "admin": 3}
"""Each may do what those before it may."""
VERSION: Final = "/v1"
"""Begin of the paths of the interface, which are also served without it."""
OPEN: Final = ("/health", "/ready", "/page/", "/docs", "/openapi.json")
"""Paths that ask for no token, like ``/``: none of it knows anybody."""
ADMIN: Final = ("/people/", "/admin/")
"""Paths that ask for the role ``admin``, as does whatever puts and deletes: they tell all that is
stored of a person, or change what answers."""
ROTATED: Final = 1.0
"""Seconds after which a change of the file of tokens counts."""
BURST: Final = 4
"""Seconds over which a rate is a mean: so many times as many requests may come at once."""
logger = logging.getLogger("lightrec.serve")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a request may ask for; the options of `lightrec serve` are among them.

    :param body: bytes of a request at most.
    :param k: items of an answer at most.
    :param history: items of a request's history at most.
    :param candidates: of a request at most.
    :param rate: requests a second of one client at most, in the mean over four seconds; 0 for no
        limit.
    :param slow: seconds within which a body should have come.
    """

    body: int = 1 << 20
    k: int = 200
    history: int = 1_000
    candidates: int = 10_000
    rate: float = 0.0
    slow: float = 30.0


def read_tokens(text: str, name: object) -> dict[str, Role]:
    """Read YAML such as ``{read: [abc…], feedback: [def…], admin: [ghi…]}``.

    :param name: of where it comes from, for messages.
    :returns: the role of each token.
    :raises RecipeError: where it cannot be read, or a token is short or stands twice.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name} cannot be read as YAML: {error}") from None
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(
            f"{name} should have tokens by role, such as `read: [a-secret-of-the-site]`."
        )
    roles: dict[str, Role] = {}
    for role, tokens in content.items():
        if role not in ROLES:
            raise RecipeError(f"{name}: {no_such('a role', str(role), ROLES)}")
        for token in [tokens] if isinstance(tokens, str) else tokens or ():
            if not isinstance(token, str) or len(token) < 16:
                raise RecipeError(f"{name}: a token of {role} is no text of 16 letters or more.")
            if token in roles:
                raise RecipeError(f"{name}: a token stands twice; give each role its own.")
            roles[token] = role
    if not roles:
        raise RecipeError(f"{name} names no token.")
    return roles


class Tokens:
    """Tokens of a file, which is read again when it has changed.

    :raises RecipeError: where it cannot be read at first; of a later change that cannot be read the
        log tells, and the tokens before it continue.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._looked = path, monotonic()
        self._text: str | None = None
        self._read()

    def __call__(self) -> Mapping[str, Role]:
        """The role of each token, as of a moment ago."""
        if monotonic() - self._looked > ROTATED:
            self._looked = monotonic()
            try:
                self._read()
            except RecipeError as error:
                logger.error("tokens stay as they were", extra={"why": str(error)})
        return self._roles

    def _read(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"The file of tokens cannot be read: {error}") from None
        if text != self._text:
            self._text = text
            self._roles = read_tokens(text, self.path)


class Gate:
    """Refuses what may not pass before the application reads it: an ASGI middleware.

    :param app: the application.
    :param limits: of which body and rate are held here.
    :param tokens: gives the role of each; None where everybody may do everything.
    :param hosts: names by which the service may be called; None for any. A page of another origin,
        which a browser of somebody here has open, could otherwise call it by a name of its own.
    :param counted: called with each request's method, path of its route, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        tokens: Callable[[], Mapping[str, Role]] | None,
        hosts: Sequence[str] | None,
        counted: Callable[[str, str, int, float], None],
    ) -> None:
        self.app, self.limits, self.tokens, self.hosts = app, limits, tokens, hosts
        self.counted = counted
        self._too_long = f"The body is longer than {limits.body:,} bytes."
        seconds = max(BURST, math.ceil(1 / limits.rate)) if limits.rate else BURST
        self._rate = RateLimitItemPerSecond(max(1, round(seconds * limits.rate)), seconds)
        self._clients = MovingWindowRateLimiter(MemoryStorage())

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
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        path = scope["path"].removeprefix(VERSION) or "/"
        refused = self._strange(scope["method"], headers)
        if refused := refused or self._refused(scope["method"], path, token):
            await refused(scope, receive, send)
            return
        # A token that nobody has looked at is no name: each request could bring another.
        named = token.decode("latin-1") if self.tokens is not None else ""
        client = named or (scope.get("client") or ("",))[0]
        if self.limits.rate and not self._clients.hit(self._rate, client):
            said = f"More than {self.limits.rate:g} requests a second: wait a moment."
            await _problem(429, said, {"retry-after": "1"})(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if len(length) > 15 or not length.isdigit() or int(length) > self.limits.body:
            await _problem(413, self._too_long)(scope, receive, send)
            return
        await self.app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        """Refuse a body while it comes: in parts, without its length, or slowly."""
        read, whole, until = 0, False, monotonic() + self.limits.slow

        async def counted() -> Message:
            nonlocal read, whole
            if whole:  # only the end of the connection is waited for
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - monotonic())
            except TimeoutError:
                said = f"The body has not come within {self.limits.slow:g} seconds."
                raise HTTPException(408, said) from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > self.limits.body:
                raise HTTPException(413, self._too_long)
            return message

        return counted

    def _strange(self, method: str, headers: Mapping[bytes, bytes]) -> JSONResponse | None:
        """Refuse what a page of somebody else makes a browser send."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = urlsplit(f"//{host}").hostname
        if self.hosts is not None and name not in self.hosts:
            said = f"Nobody is called {name!r:.100} here: name it by --hosts if that is wanted."
            return _problem(421, said)
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        changes = self.tokens is None and method not in ("GET", "HEAD")  # no browser adds a token
        if changes and origin and urlsplit(origin).netloc != host:
            return _problem(403, "A page of another origin may not send this: ask your own server.")
        return None

    def _refused(self, method: str, path: str, token: bytes) -> JSONResponse | None:
        if self.tokens is None or path == "/" or path.startswith(OPEN):
            return None
        role: Role | None = None
        for each, its in self.tokens().items():  # all are compared, so that time tells nothing
            if hmac.compare_digest(each.encode(), token):
                role = its
        if role is None:
            said = "Send a token that is known, as `Authorization: Bearer TOKEN`."
            return _problem(401, said, {"www-authenticate": "Bearer"})
        needed: Role = "feedback" if path.rstrip("/") == "/feedback" else "read"
        if method in ("PUT", "DELETE") or path.startswith(ADMIN):
            needed = "admin"
        if ROLES[role] < ROLES[needed]:
            said = f"This needs a token of the role {needed}; yours is of the role {role}."
            return _problem(403, said)
        return None


def _problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
