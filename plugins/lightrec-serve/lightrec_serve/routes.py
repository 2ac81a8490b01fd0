"""The paths of the service."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

from lightrec.errors import LightrecError
from lightrec_serve import schema
from lightrec_serve.access import Limits
from lightrec_serve.inbox import ANSWERED
from lightrec_serve.metrics import Metrics
from lightrec_serve.schema import Name
from lightrec_serve.service import Conflict, Service, Unknown, numbered

SEEN: Final = 20
"""Users and items that the page offers."""
GONE: Final = 499
"""Status of a request whose client has hung up, which nobody but the log sees."""
Count = Annotated[int, Query(ge=1)]
Hours = Annotated[float, Query(ge=0, le=1e6, allow_inf_nan=False)]
Letters = Annotated[str, Query(max_length=300)]
T = TypeVar("T")


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


def routes(
    service: Service, limits: Limits, metrics: Metrics, public: Callable[[str], str]
) -> APIRouter:
    """The paths of a service.

    :param public: takes out of a text what no answer may contain.
    """
    router = APIRouter()

    def within(name: str, count: int, most: int) -> None:
        if count > most:
            raise HTTPException(422, f"{name} is {count}; at most {most} are answered.")

    @router.post("/recommend")
    async def recommend(ask: schema.Ask, request: Request) -> schema.Slate:
        """Recommend to a user of the log, to somebody new, or to a request in words."""
        within("k", ask.k, limits.k)
        within("The history's length", len(ask.history), limits.history)
        within("The number of candidates", len(ask.candidates or ()), limits.candidates)
        slate, seconds = await unless_gone(request, service.recommend(ask))
        for part, value in seconds.items():
            metrics.seconds.labels(part).observe(value)
        metrics.answers.labels(slate.arm, slate.by).inc()
        return slate

    @router.post("/explain")
    async def explain(why: schema.Why, request: Request) -> dict[str, Any]:
        """Why an item comes, at length: past events, words, the reward, what would change it."""
        within("k", why.k, limits.k)
        within("The history's length", len(why.history), limits.history)
        return await unless_gone(request, service.explain(why))

    @router.post("/feedback")
    async def feedback(sent: schema.Feedback) -> schema.Stored:
        """Keep what people did. Stored means: on the disk. Sent twice, an event counts once."""
        stored, again, waiting = await service.inbox.take(sent.events, service.kinds)
        for event in sent.events:
            kind = event.kind if event.kind in {*ANSWERED, *service.kinds} else "other"
            metrics.feedback.labels(kind).inc()
        return schema.Stored(stored=stored, known=again, waiting=waiting)

    @router.delete("/feedback")
    async def unsay(wrong: schema.Wrong) -> dict[str, int]:
        """Erase events of a session; right ones may then be sent, also under the same ids."""
        return {"erased": await service.forget_events(wrong.session, wrong.ids)}

    @router.get("/people/{user:path}")
    async def person(user: Name) -> dict[str, list[dict[str, Any]]]:
        """All that is stored of a person: sessions, answers, what they showed, feedback."""
        return await service.person(user)

    @router.delete("/people/{user:path}")
    async def forget(user: Name) -> dict[str, int]:
        """Erase all that is stored of a person."""
        return await service.forget(user)

    @router.put("/items")
    async def put(sent: schema.Items) -> dict[str, list[str]]:
        """Put items, new ones or known ones again; the next answer may hold them."""
        return {"items": await service.stock.put(sent.items)}

    @router.delete("/items")
    async def delete(sent: schema.Gone) -> dict[str, list[str]]:
        """Take items away: no answer holds them from now on."""
        return {"items": await service.stock.delete(sent.items)}

    @router.get("/items")
    async def titled(title: Letters = "", k: Count = SEEN) -> list[schema.Known]:
        """Items whose titles have these letters, those first that begin with them."""
        within("k", k, limits.k)
        return await service.titled(title, k)

    @router.get("/items/{item:path}/similar")
    async def similar(
        item: Name, k: Count = 10, user: Name | None = None, arm: Name | None = None
    ) -> list[schema.Shown]:
        """The items most like an item that may be shown to a person, or to a new user."""
        within("k", k, limits.k)
        return await service.similar(item, k, user, arm)

    @router.get("/items/{item:path}")
    async def item(item: Name) -> schema.Known:
        """An item as it is served."""
        return schema.Known(**service.engine.catalog.known(numbered(service.engine, item)))

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @router.get("/ready")
    async def ready() -> schema.Ready:
        """Whether questions are answered, and by what."""
        arms = service.about()
        for about in arms.values():
            about |= {name: public(text) for name, text in about.items() if isinstance(text, str)}
        there = await service.reachable()
        waiting = service.inbox.waiting
        return schema.Ready(arms=arms, store="ok" if there else "down", waiting=waiting)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def gathered() -> Response:
        """The numbers that Prometheus gathers."""
        metrics.store.set(await service.reachable())
        metrics.waiting.set(service.inbox.waiting)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")

    @router.get("/numbers")
    async def operating(hours: Hours = 24, trial: bool = False) -> list[dict[str, Any]]:
        """Numbers of what each arm has shown of late, and of what people made of it."""
        counted, split = await service.numbers.of(hours, trial)
        return [asdict(arm) | {"split_p": split} for arm in counted]

    @router.get("/users")
    async def users(begin: Letters = "") -> list[str]:
        """Some users of the log, or some whose ids begin so."""
        return await service.users(SEEN, begin)

    @router.get("/users/{user:path}/past")
    async def past(user: Name, k: Count = SEEN) -> list[schema.Past]:
        """A person's last events in the log, the newest first."""
        within("k", k, limits.k)
        engine, rows = service.engine, []
        for number, kind, time in engine.past(user, k):
            item, title, _ = engine.catalog.describe(number)
            when = None if time is None else datetime.fromtimestamp(time / 1000, UTC)
            rows.append(schema.Past(item=item, title=title, kind=kind, time=when))
        return rows

    @router.put("/users")
    async def put_users(sent: schema.People) -> dict[str, list[str]]:
        """Put attributes of people whom the log does not have; their next sessions know them."""
        return await service.put_users(sent.users)

    @router.post("/admin/reload")
    async def reload(arm: Name | None = None) -> dict[str, Any]:
        """Load a run again, such as after `lightrec update`; the old one answers until then."""
        try:
            return await service.reload(arm)
        except Unknown:
            raise
        except LightrecError as error:
            raise Conflict(f"The old one answers on. {error}") from error

    return router
