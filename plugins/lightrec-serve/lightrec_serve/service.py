"""The service without HTTP: arms, sessions and their state, and what is stored of them."""

import asyncio
import gc
import hashlib
import logging
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Final

from lightrec.data.times import moment
from lightrec_serve import personal
from lightrec_serve.batching import Batcher
from lightrec_serve.engine import Engine, Query
from lightrec_serve.inbox import Inbox, milliseconds
from lightrec_serve.numbers import Numbers
from lightrec_serve.schema import Ask, Known, Person, Shown, Slate, Why
from lightrec_serve.sessions import OF_PERSON, Conflict, Patient, Sessions, State
from lightrec_serve.stock import Stock, Unknown
from lightrec_serve.store import Answer, Session, Store, StoreError
from lightrec_serve.tables import DAY, OUTSIDE

PATIENCE: Final = 0.2
"""Seconds for which a slate waits for a store."""
WATCHED: Final = 0.5
"""Seconds after which what other processes have changed is looked for."""
SHARED: Final = {each.name for each in fields(Query)} & Ask.model_fields.keys() - {"user"}
"""Fields of a request that a query has as they are."""
OF_LAW: Final = SHARED - {*OF_PERSON, "explain"} | {"explore", "more"}
"""Fields of a request by which a slate is drawn: stored with such a slate alone, as they may hold
requests in words."""
SWEPT: Final = 3_600.0
"""Seconds after which what is too old is erased again."""
logger = logging.getLogger("lightrec.serve")


@dataclass
class Arm:
    """One of the recommenders of an experiment.

    :param load: makes the engine, again each time.
    :param weight: the share of people who meet it, next to the other arms'.
    """

    name: str
    load: Callable[[], Engine]
    weight: float = 1.0
    batcher: Batcher = field(init=False)
    """Answers by the engine, once a service has loaded it."""


class Service:
    """Answers for people and keeps what they did.

    A session knows its user's events in the run's log, and what is stored of the user: what one
    session is reported, the others of its user know.

    :param arms: recommenders; each person meets one of them, by the weights, for good.
    :param store: where sessions, answers, feedback and items are kept.
    :param time: when slates are shown whose requests do not say it: ``now``, or a time as of
        :func:`lightrec.data.times.moment`; None for the last event of each arm's log.
    :param patience: seconds for which a slate waits for the store; feedback waits ten times as
        long.
    :param keep: days after which what is stored is erased; 0: never.
    :param aside: a store on this machine for feedback that comes while the other one is not there;
        None: such feedback is refused.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        store: Store,
        time: str | None = None,
        patience: float = PATIENCE,
        aside: Store | None = None,
        keep: int = 0,
    ) -> None:
        self.keep, self._swept = keep, -SWEPT
        self.arms, self.store, self.time = {arm.name: arm for arm in arms}, store, time
        self.reads, self.writes = Patient(patience), Patient(10 * patience)
        self.sessions, self.stock = Sessions(store, self.reads), Stock(store, self.reads)
        self.inbox = Inbox(self.sessions, self.stock, self.writes, aside, self._outside)
        self._reloading = asyncio.Lock()
        self.numbers = Numbers(store, {arm.name: arm.weight for arm in arms})
        for arm in arms:
            arm.batcher = Batcher(arm.load(), self.stock.refresh)
            self.stock.refresh(arm.batcher.engine)
            self.stock.batchers.append(arm.batcher)
        self._note()

    async def recommend(self, ask: Ask) -> tuple[Slate, dict[str, float]]:
        """Answer, and say how many seconds went into what.

        :raises LightrecError: where the request cannot be answered as it is.
        """
        began = perf_counter()
        try:
            state, known = await self._state(ask), True
        except StoreError as error:
            logger.warning("answered without the store", extra={"why": str(error)})
            state, known = await self._state(ask, False), False
        arm = self.arms[state.session.arm]
        said = state.said | {n: getattr(ask, n) for n in OF_PERSON if n in ask.model_fields_set}
        # What was put of a person comes before what the session has said earlier.
        whole = (said.get("profile"), state.profile, ask.profile)
        profile = {name: value for each in whole for name, value in (each or {}).items()}
        more = {"profile": profile or None, "time": self._when(ask.time, arm)}
        ask = ask.model_copy(update=said | more)
        query = Query(
            shown=await self.sessions.shown(state, known) if ask.more else (),
            user=state.session.user,
            **{name: getattr(ask, name) for name in SHARED},
            **arm.batcher.engine.wanted(state.events, state.before),
            draw=ask.explore,
            seed=secrets.randbits(62),
        )
        engine, ranked = await arm.batcher.answer(query)
        state.said = said
        try:
            await self.sessions.begin(state)  # only now: what cannot be answered leaves nothing
        except StoreError as error:
            logger.warning("session not stored yet", extra={"why": str(error)})
            known = False
        places = _places(engine, ranked.items, ranked.scores)
        for place, number, chance in zip(places, ranked.items, ranked.propensities, strict=True):
            place.propensity, place.pinned = chance, number in ranked.pinned
        for place, events in zip(places, ranked.why, strict=False):
            place.why = [engine.catalog.describe(event)[1] for event, _ in events]
            place.without = [share for _, share in events]
        slate = Slate(
            answer=uuid.uuid4().hex,
            session=state.session.id,
            arm=arm.name,
            by=ranked.by,
            note=engine.note,
            degraded=not known or self.stock.behind,
            items=places,
        )
        needed = {*OF_PERSON, *(OF_LAW if ask.explore else ())}
        request = ask.model_dump(mode="json", exclude_defaults=True, include=needed)
        if ranked.rules:
            pinned = [place.item for place in places if place.pinned]
            request["rules"] = {"mark": ranked.rules, "pinned": pinned}
        state.showed(slate.answer, {place.item for place in places})
        seconds = ranked.seconds | {"total": perf_counter() - began}
        answer = Answer(
            id=slate.answer,
            session=slate.session,
            user=state.session.user,
            arm=arm.name,
            time=milliseconds(),
            items=tuple(place.item for place in places),
            propensities=tuple(ranked.propensities),
            log_prob=ranked.log_prob,
            ranked_by=ranked.by,
            request=request,
            left=tuple(ranked.left),
            latency_ms=seconds["total"] * 1000,
        )
        try:
            self.store.answered(answer)
        except StoreError as error:  # so many wait to be written that there is no room
            logger.warning("answer not noted", extra={"why": str(error)})
            slate.degraded = True
        return slate, seconds

    async def explain(self, why: Why) -> dict[str, Any]:
        """The reasons at length why an item comes in a session.

        :raises Unknown: where there is no such session or item.
        """
        if (state := await self.sessions.held(why.session)) is None:
            raise Unknown(f"There is no session {why.session!r}: ask for a slate first.")
        arm = self._arm(state.session.arm)
        engine = arm.batcher.engine
        numbered(engine, why.item)
        query = Query(
            user=state.session.user,
            history=tuple(why.history or state.said.get("history", ())),
            **engine.wanted(state.events, state.before),
            k=why.k,
            exclude=tuple(why.exclude),
            only=tuple(why.only),
            time=self._when(why.time, arm),
            by=why.by,
        )
        return await arm.batcher.explaining.call(lambda: engine.explain(query, why.item))

    async def person(self, user: str) -> dict[str, list[dict[str, Any]]]:
        """All that is stored of a person, by any of their ids.

        :raises Unknown: where there is nothing.
        """
        user = self._known_as(user) or user
        stored = await self.writes.call(personal.person, self.store, user)
        if not any(stored.values()):
            raise Unknown(f"Nothing is stored of {user!r}.")
        return stored

    async def forget(self, user: str) -> dict[str, int]:
        """Erase all that is stored of a person; how many rows of each kind there were.

        :raises Unknown: where there is nothing.
        """
        user = self._known_as(user) or user
        await self.person(user)
        for store in (self.inbox.aside, self.store):
            if store is not None:
                counts = await self.writes.call(personal.erase, store, personal.of_person(user))
        self.sessions.drop(user)
        return counts

    async def put_users(self, people: Sequence[Person]) -> dict[str, list[str]]:
        """Store attributes of people, which their next requests know.

        :returns: whose are stored.
        :raises RecipeError: where one does not fit the run's; then none is stored.
        """
        rows = {self._known_as(each.user) or each.user: dict(each.attributes) for each in people}
        for arm in self.arms.values():
            for row in rows.values():
                await arm.batcher.reading.call(partial(arm.batcher.engine.check_profile, row))
        await self.writes.call(self.store.put_users, rows)
        return {"users": [*rows]}

    async def forget_events(self, session: str, ids: Sequence[str]) -> int:
        """Erase events of a session, such as wrong ones, which may then be sent again."""
        wrong = personal.events(session, ids)
        counts = await self.writes.call(personal.erase, self.store, wrong)
        return counts["feedback"]

    async def similar(
        self, item: str, k: int, user: str | None = None, named: str | None = None
    ) -> list[Shown]:
        """The items most like an item, of those that may be shown to a person.

        :param user: a person; None for one of whom nothing is known.
        :param named: the arm that answers.
        :raises Unknown: where there is no such item.
        """
        arm = self._arm(named)
        engine = arm.batcher.engine
        number, user = numbered(engine, item), self._known_as(user)
        known = None if user is None else await self.reads.call(self.store.known_of, "", user)
        profile = None if known is None else known.profile
        query = Query(user=user, profile=profile, k=k, time=self._when(None, arm))
        numbers, scores = await arm.batcher.reading.call(lambda: engine.similar(number, query))
        return _places(engine, numbers, scores)

    async def reload(self, name: str | None = None) -> dict[str, Any]:
        """Load an arm again, while the old one answers, and swap them.

        :raises LightrecError: where it cannot be loaded; the old one continues.
        """
        async with self._reloading:
            arm = self._arm(name)
            fresh = await asyncio.to_thread(arm.load)
            async with self.stock.changing:  # no item is put between these two
                await asyncio.to_thread(self.stock.refresh, fresh)
                await arm.batcher.swap(fresh)
                await asyncio.to_thread(self._note)
        # The old engine refers to itself: without this, several would be in memory for a while.
        await asyncio.to_thread(gc.collect)
        logger.info("reloaded", extra={"arm": arm.name})
        return fresh.about()

    @property
    def engine(self) -> Engine:
        """The engine of the first arm."""
        return self._arm(None).batcher.engine

    @property
    def kinds(self) -> set[str]:
        """The kinds of feedback that the arms know."""
        return {kind for arm in self.arms.values() for kind in arm.batcher.engine.worth}

    def _note(self) -> None:
        """Store what kinds of feedback are worth, and the goal, where all arms have one."""
        engines = [arm.batcher.engine for arm in self.arms.values()]
        worth = {kind: each for engine in engines for kind, each in engine.worth.items()}
        goals = [engine.goal for engine in engines]
        goal = sorted({kind for each in goals for kind in each}) if all(goals) else []
        self.store.note_worth(worth, goal)

    def about(self) -> dict[str, dict[str, Any]]:
        """Describe the arms."""
        total = sum(arm.weight for arm in self.arms.values())
        return {
            name: arm.batcher.engine.about() | {"share": arm.weight / total}
            for name, arm in self.arms.items()
        }

    async def reachable(self) -> bool:
        """Whether the store answers."""
        try:
            await self.reads.call(self.store.newest)
        except StoreError:
            return False
        return True

    async def users(self, count: int, begin: str = "") -> list[str]:
        """Some users of the log, of those whose ids begin so."""
        batcher = self._arm(None).batcher
        return await batcher.reading.call(partial(batcher.engine.users, count, begin))

    async def titled(self, letters: str, most: int) -> list[Known]:
        """Items whose titles have some letters."""
        batcher, catalog = self._arm(None).batcher, self.engine.catalog
        found = await batcher.reading.call(lambda: catalog.titled(letters, most))
        return [Known(**catalog.known(number)) for number in found]

    async def watch(self) -> None:
        """Look for what other processes change, and for a store that is back; it never ends."""
        while True:
            await asyncio.sleep(WATCHED)
            try:
                await self.stock.catch_up()
                await self.inbox.bring()
                if self.keep and monotonic() - self._swept > SWEPT:
                    self._swept = monotonic()
                    await asyncio.to_thread(self._sweep)
            except StoreError:  # it is tried again
                pass
            except Exception:
                logger.exception("watching")

    def _sweep(self) -> None:
        """Erase what is too old."""
        old = personal.before(milliseconds() - self.keep * DAY)
        logger.info("too old, and erased", extra=personal.erase(self.store, old))

    def close(self) -> None:
        """Finish what was begun, and close the stores."""
        for arm in self.arms.values():
            arm.batcher.close()
        for each in (self.numbers.lane, self.reads, self.writes):
            each.close()
        if self.inbox.aside is not None:
            self.inbox.aside.close()
        self.store.close()

    def _when(self, asked: datetime | None, arm: Arm) -> datetime | None:
        """When a slate is shown: as the request says or else, where it counts, the service."""
        if asked is not None or self.time is None or arm.batcher.engine.last is None:
            return asked
        return moment(self.time)

    def _arm(self, name: str | None) -> Arm:
        if name is None:
            return next(iter(self.arms.values()))
        if name not in self.arms:
            raise Unknown(f"There is no arm {name!r}; there are {', '.join(self.arms)}.")
        return self.arms[name]

    def _drawn(self, person: str) -> str:
        """Assign a person to an arm, always to the same one as long as arms and weights stay.

        Another experiment, of arms with other names, draws again: who had bad luck in one has
        not in the next.
        """
        digest = hashlib.sha256("\0".join((*self.arms, person)).encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        place *= sum(arm.weight for arm in self.arms.values())
        for arm in self.arms.values():
            place -= arm.weight
            if place < 0:
                return arm.name
        return arm.name

    async def _state(self, ask: Ask, known: bool = True) -> State:
        """The state of a request's session, which begins where it is new.

        :param known: whether the store can be asked; else what is in memory has to do.
        """
        name, user = ask.session or uuid.uuid4().hex, self._known_as(ask.user)
        state = await self.sessions.held(name) if ask.session and known else None
        if state is None:
            arm = self._arm(ask.arm).name if ask.arm else self._drawn(user or name)
            began = milliseconds()
            session = Session(id=name, user=user, arm=arm, began=began, trial=ask.trial)
            state = self.sessions.in_memory(ask.session) or State(session, False, not ask.session)
            if known:
                state = await self.sessions.new(session, not ask.session)
        if user is not None and self._known_as(state.session.user) != user:
            raise Conflict("The session is another person's: leave it out to begin a new one.")
        arm_name = state.session.arm
        if arm_name not in self.arms or ask.arm not in (None, arm_name):
            raise Conflict(f"The session is of arm {arm_name!r}: leave it out to begin a new one.")
        return state

    def _outside(self, user: str) -> Session:
        """The session of a person's events that come without one."""
        name = self._known_as(user) or user
        return Session(OUTSIDE + name, name, self._drawn(name), milliseconds())

    def _known_as(self, user: str | None) -> str | None:
        """The id by which the arms know a person."""
        for arm in self.arms.values():
            user = None if user is None else arm.batcher.engine.known_as(user)
        return user


def numbered(engine: Engine, item: str) -> int:
    """An item's number.

    :raises Unknown: where there is no such item.
    """
    if (number := engine.catalog.number(item)) is None:
        raise Unknown(f"There is no item {item!r}.")
    return number


def _places(engine: Engine, items: Sequence[int], scores: Sequence[float]) -> list[Shown]:
    """Describe items by their numbers, best first."""
    places = []
    for rank, (number, score) in enumerate(zip(items, scores, strict=True), 1):
        item, title, text = engine.catalog.describe(number)
        place = Shown(rank=rank, item=item, title=title, text=text, score=score, propensity=None)
        place.image = engine.catalog.image(number)
        places.append(place)
    return places
