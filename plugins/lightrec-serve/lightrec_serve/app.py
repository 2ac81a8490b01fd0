"""The service over HTTP."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException

from lightrec.errors import LightrecError, PluginError
from lightrec_serve.access import Gate, Limits, Role
from lightrec_serve.batching import Busy
from lightrec_serve.schema import (
    Ask,
    Feedback,
    Gone,
    Items,
    Name,
    Problem,
    Ready,
    Shown,
    Slate,
    Stored,
    Why,
    Wrong,
)
from lightrec_serve.service import ANSWERED, Conflict, Service, Unknown
from lightrec_serve.store import StoreError

PAGE: Final = Path(__file__).parent / "page"
BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SEEN: Final = 20
"""Users that the page offers."""
LONGEST: Final = 2_000
"""Characters of a message: it may repeat what was sent."""
SENTENCES: Final = {
    "Not Found": "There is nothing here: /docs lists what there is.",
    "Method Not Allowed": "This does not take that method: /docs lists what there is.",
    "There was an error parsing the body": "The body cannot be read as JSON.",
}
"""Sentences in place of the framework's own words."""
Count = Annotated[int, Query(ge=1)]
Hours = Annotated[float, Query(ge=0, le=1e6, allow_inf_nan=False)]
SOON: Final = {"retry-after": "1"}
"""Header of an answer that says: not now."""
GONE: Final = 499
"""Status of a request whose client has hung up, which nobody but the log sees."""
T = TypeVar("T")
logger = logging.getLogger("lightrec.serve")
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": said}
    for status, said in {
        400: "The body cannot be read.",
        401: "No known token was sent.",
        403: "The token's role may not do this.",
        404: "What the request names is not there.",
        409: "The request contradicts what is known.",
        413: "The body is too long.",
        422: "The request cannot be answered as it is.",
        429: "Too many requests.",
        503: "Too much is asked for the moment, or the store is not there; try again soon.",
    }.items()
}


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do some work for a request, and give it up once the client hangs up.

    :raises HTTPException: where it has.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(GONE, "Nobody waits for the answer any more.")
        return working.result()
    finally:
        working.cancel()
        waiting.cancel()


class Numbers:
    """Counts and times for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lightrec_requests", "Requests.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "lightrec_recommend_seconds",
            "Seconds of an answer: in all, in the tower, in the search.",
            ["part"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "lightrec_answers", "Slates answered.", ["arm", "by"], registry=self.registry
        )
        self.feedback = Counter(
            "lightrec_feedback", "Events received.", ["kind"], registry=self.registry
        )

        self.store = Gauge(
            "lightrec_store_up", "Whether the store answers.", registry=self.registry
        )

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request, and log it."""
        self.requests.labels(path, status).inc()
        what = {"method": method, "path": path, "status": status, "ms": round(seconds * 1000, 2)}
        logger.info("request", extra=what)


def application(
    service: Service,
    limits: Limits | None = None,
    tokens: dict[str, Role] | None = None,
    hidden: Sequence[str] = (),
) -> FastAPI:
    """Make the application.

    :param service: what answers; closed when the application ends.
    :param limits: of a request.
    :param tokens: the role of each; None where everybody may do everything.
    :param hidden: texts, such as the paths of runs, that no answer may contain.
    """
    limits, numbers = limits or Limits(), Numbers()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        service.close()

    app = FastAPI(
        title="lightrec",
        summary="Recommendations from a run, and what people make of them.",
        lifespan=lifespan,
        responses=PROBLEMS,
        redoc_url=None,
    )
    app.add_middleware(Gate, limits=limits, tokens=tokens, counted=numbers.count)
    app.state.service = service

    def public(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "the run")
        return text

    def said(status: int, error: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
        text = str(error)[:LONGEST].encode(errors="replace").decode()
        return JSONResponse({"error": public(text)}, status, headers)

    def known_as(error: Exception) -> str:
        number = uuid.uuid4().hex[:12]
        logger.error("broken", extra={"number": number}, exc_info=error)
        return f"the service's log knows it as {number}."

    @app.exception_handler(LightrecError)
    async def wrong(_: Request, error: LightrecError) -> JSONResponse:
        if isinstance(error, Busy):
            return said(503, error, SOON)
        if isinstance(error, StoreError):  # names the database, and is nobody's business
            return said(503, f"Nothing can be stored or read now; {known_as(error)}", SOON)
        if isinstance(error, PluginError):
            return said(500, f"The field's rules broke here; {known_as(error)}")
        status = {Conflict: 409, Unknown: 404}.get(type(error), 422)
        return said(status, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        parts = []
        for each in error.errors()[:5]:
            where = ".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0])
            what = each["msg"].removeprefix("Value error, ")
            if each["type"] == "json_invalid":
                what = f"The body is not JSON, {each['ctx']['error']} at character {where}"
                where = "body"
            if each["type"] == "model_attributes_type":
                what = "Send a JSON object, with the header `content-type: application/json`"
            parts.append(f"{where}: {what}.")
        return said(422, " ".join(parts))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        text = SENTENCES.get(str(error.detail), error.detail)
        return said(error.status_code, text, error.headers)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return said(500, f"Something broke here; {known_as(error)}")

    def within(name: str, count: int, most: int) -> None:
        if count > most:
            raise HTTPException(422, f"{name} is {count}; at most {most} are answered.")

    @app.post("/recommend")
    async def recommend(ask: Ask, request: Request) -> Slate:
        """Recommend to a user of the log, to somebody new, or to a wish in words."""
        within("k", ask.k, limits.k)
        within("The history's length", len(ask.history), limits.history)
        within("The number of candidates", len(ask.candidates or ()), limits.candidates)
        slate, seconds = await unless_gone(request, service.recommend(ask))
        for part, value in seconds.items():
            numbers.seconds.labels(part).observe(value)
        numbers.answers.labels(slate.arm, slate.by).inc()
        return slate

    @app.post("/explain")
    async def explain(why: Why, request: Request) -> dict[str, Any]:
        """Why an item comes, at length: past events, words, the reward, what would change it."""
        within("k", why.k, limits.k)
        within("The history's length", len(why.history), limits.history)
        return await unless_gone(request, service.explain(why))

    @app.post("/feedback")
    async def feedback(sent: Feedback) -> Stored:
        """Keep what people did. Stored means: on the disk. Sent twice, an event counts once."""
        stored, again = await service.feedback(sent.events)
        for event in sent.events:
            kind = event.kind if event.kind in {*ANSWERED, *service.kinds} else "other"
            numbers.feedback.labels(kind).inc()
        return Stored(stored=stored, known=again)

    @app.delete("/feedback")
    async def unsay(wrong: Wrong) -> dict[str, int]:
        """Erase events of a session; right ones may then be sent, also under the same ids."""
        return {"erased": await service.forget_events(wrong.session, wrong.ids)}

    @app.get("/people/{user:path}")
    async def person(user: Name) -> dict[str, list[dict[str, Any]]]:
        """All that is stored of a person: sessions, answers, what they showed, feedback."""
        return await service.person(user)

    @app.delete("/people/{user:path}")
    async def forget(user: Name) -> dict[str, int]:
        """Erase all that is stored of a person."""
        return await service.forget(user)

    @app.put("/items")
    async def put(sent: Items) -> dict[str, list[str]]:
        """Put items, new ones or known ones anew; the next answer may hold them."""
        return {"items": await service.put(sent.items)}

    @app.delete("/items")
    async def delete(sent: Gone) -> dict[str, list[str]]:
        """Take items away: no answer holds them from now on."""
        return {"items": await service.delete(sent.items)}

    @app.get("/items/{item:path}/similar")
    async def similar(item: Name, k: Count = 10, arm: Name | None = None) -> list[Shown]:
        """The items most like an item."""
        within("k", k, limits.k)
        return await service.similar(item, k, arm)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> Ready:
        """Whether questions are answered, and by what."""
        arms = service.about()
        for about in arms.values():
            about |= {name: public(text) for name, text in about.items() if isinstance(text, str)}
        return Ready(arms=arms, store="ok" if await service.reachable() else "down")

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """The numbers that Prometheus gathers."""
        numbers.store.set(await service.reachable())
        return Response(generate_latest(numbers.registry), media_type="text/plain; version=0.0.4")

    @app.get("/numbers")
    async def operating(hours: Hours = 24, trial: bool = False) -> list[dict[str, Any]]:
        """Numbers of what each arm has shown of late, and of what people made of it."""
        counted = await service.numbers(hours, trial)
        return [asdict(arm) | {"split_p": service.split(counted)} for arm in counted]

    @app.get("/users")
    async def users() -> list[str]:
        """Some users of the log."""
        return service.users(SEEN)

    @app.post("/admin/reload")
    async def reload(arm: Name | None = None) -> dict[str, Any]:
        """Load a run anew, such as after `lightrec update`; the old one answers until then."""
        try:
            return await service.reload(arm)
        except Unknown:
            raise
        except LightrecError as error:
            raise Conflict(f"The old one answers on. {error}") from error

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app
