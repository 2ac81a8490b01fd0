"""The service over HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

import lightrec.errors as errors
from lightrec_serve.access import VERSION, Gate, Limits, Role
from lightrec_serve.batching import Busy
from lightrec_serve.metrics import Metrics
from lightrec_serve.routes import routes
from lightrec_serve.schema import Problem
from lightrec_serve.service import Conflict, Service, Unknown
from lightrec_serve.store import StoreError

PAGE: Final = Path(__file__).parent / "page"
LONGEST: Final = 2_000
"""Characters of a message: it may repeat what was sent."""
SENTENCES: Final = {
    "Not Found": "There is nothing here: /docs lists what there is.",
    "Method Not Allowed": "This does not take that method: /docs lists what there is.",
    "There was an error parsing the body": "The body cannot be read as JSON.",
}
"""Sentences in place of the framework's own words."""
SOON: Final = {"retry-after": "1"}
"""Header of an answer that says: not now."""
logger = logging.getLogger("lightrec.serve")
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": said}
    for status, said in {
        400: "The body cannot be read.",
        401: "No known token was sent.",
        403: "The token's role may not do this.",
        404: "What the request names is not there.",
        408: "The body came too slowly.",
        409: "The request contradicts what is known.",
        413: "The body is too long.",
        421: "The service is not called by this name.",
        422: "The request cannot be answered as it is.",
        429: "Too many requests.",
        503: "Too much is asked for the moment, or the store is not there; try again soon.",
    }.items()
}


def application(
    service: Service,
    limits: Limits | None = None,
    tokens: Callable[[], Mapping[str, Role]] | None = None,
    hidden: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
) -> FastAPI:
    """Make the application.

    :param service: what answers; closed when the application ends.
    :param limits: of a request.
    :param tokens: gives the role of each; None where everybody may do everything.
    :param hidden: texts, such as the paths of runs, that no answer may contain.
    :param hosts: names by which the service may be called; None for any.
    """
    limits, metrics = limits or Limits(), Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        errors.silent = True  # the log holds no requests in words and no names of what people had
        yield
        errors.silent = False
        watching.cancel()
        service.close()

    bearer = HTTPBearer(auto_error=False, description="A token, by role; see /docs.")
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs-files",
        title="lightrec",
        summary="Recommendations from a run, and what people make of them.",
        version="1",
        lifespan=lifespan,
        responses=PROBLEMS,
        dependencies=[] if tokens is None else [Depends(bearer)],
    )
    counted = metrics.count
    app.add_middleware(Gate, limits=limits, tokens=tokens, hosts=hosts, counted=counted)
    app.add_middleware(CorrelationIdMiddleware)
    app.state.service = service

    def public(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "the run")
        return text

    def said(status: int, error: object, headers: Mapping[str, str] | None = None) -> JSONResponse:
        text = str(error)[:LONGEST].encode(errors="replace").decode()
        return JSONResponse({"error": public(text)}, status, headers)

    def known_as(error: Exception) -> str:
        logger.error("broken", exc_info=error)
        return f"the service's log knows it as {correlation_id.get()}."

    @app.exception_handler(errors.LightrecError)
    async def wrong(_: Request, error: errors.LightrecError) -> JSONResponse:
        if isinstance(error, Busy):
            return said(503, error, SOON)
        if isinstance(error, StoreError):  # names the database, and is nobody's business
            return said(503, f"Nothing can be stored or read now; {known_as(error)}", SOON)
        if isinstance(error, errors.PluginError):
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

    router = routes(service, limits, metrics, public)
    app.include_router(router, prefix=VERSION)
    app.include_router(router, include_in_schema=False)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app
