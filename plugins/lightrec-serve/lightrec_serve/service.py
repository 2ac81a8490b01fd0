"""The service without HTTP: arms, sessions and their state, and what is stored of them."""

import asyncio
import gc
import hashlib
import logging
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic, perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lightrec.data.times import moment
from lightrec.errors import LightrecError, RecipeError
from lightrec_serve.batching import Batcher, Lane
from lightrec_serve.engine import Engine, Query
from lightrec_serve.schema import Ask, Event, Item, Shown, Slate, Why
from lightrec_serve.sessions import OF_PERSON, Conflict, Patient, Sessions, State
from lightrec_serve.store import Answer, Feedback, ItemChange, Session, Store, StoreError

if TYPE_CHECKING:
    from lightrec_serve.records import ArmNumbers

AHEAD: Final = timedelta(minutes=5)
"""Time by which a client's clock may be ahead."""
PATIENCE: Final = 0.2
"""Seconds for which a slate waits for a store."""
WATCHED: Final = 0.5
"""Seconds after which what other processes have changed is looked for."""
SOME: Final = 100
"""Changes of items that are read at once: a store that does not hang gives so many in time."""
FEW: Final = 8
"""Items that are taken in between two batches of slates."""
LONG: Final = 0.2
"""Seconds of counting from which on numbers are given again, for 30 times as long."""
SHARED: Final = {each.name for each in fields(Query)} & Ask.model_fields.keys() - {"user"}
"""Fields of a request that a query has as they are."""
ANSWERED: Final = ("accepted", "dismissed")
"""Kinds of feedback that may always be sent beside those of the runs."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
logger = logging.getLogger("lightrec.serve")
T = TypeVar("T")


class Unknown(LightrecError):
    """A request names what there is not."""


@dataclass
class Arm:
    """One of the recommenders of an experiment.

    :param load: makes the engine, anew each time.
    :param weight: the share of people who meet it, next to the other arms'.
    """

    name: str
    load: Callable[[], Engine]
    weight: float = 1.0
    batcher: Batcher = field(init=False)
    """Answers by the engine, once a service has loaded it."""


class Service:
    """Answers for people and keeps what they did.

    A session knows its user's events in the run's log, what was stored of the user before it began,
    and its own feedback: two sessions of one user do not disturb each other.

    :param arms: recommenders; each person meets one of them, by the weights, for good.
    :param store: where sessions, answers, feedback and items are kept.
    :param time: when slates are shown whose requests do not say it: ``now``, or a time as of
        :func:`lightrec.data.times.moment`; None for the last event of each arm's log.
    :param patience: seconds for which a slate waits for the store; feedback waits ten times as
        long.
    """

    def __init__(
        self, arms: Sequence[Arm], store: Store, time: str | None = None, patience: float = PATIENCE
    ) -> None:
        self.arms, self.store, self.time = {arm.name: arm for arm in arms}, store, time
        self.reads, self.writes = Patient(patience), Patient(10 * patience)
        self.sessions = Sessions(store, self.reads)
        self._behind = False
        """Whether the store did not say of late which items have changed."""
        self._reloading, self._changing = asyncio.Lock(), asyncio.Lock()
        self._counting = Lane("numbers")
        self._counted: dict[tuple[float, bool], tuple[float, list[ArmNumbers]]] = {}
        """By hours, and whether of trials: an operator's numbers, given again until a time."""
        for arm in arms:
            arm.batcher = Batcher(arm.load(), self._refresh)
            self._refresh(arm.batcher.engine)
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
        ask = ask.model_copy(update={**said, "time": self._when(ask.time, arm)})
        query = Query(
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
            place.why = [engine.catalog.describe(event)[1] for event in events]
        slate = Slate(
            answer=uuid.uuid4().hex,
            session=state.session.id,
            arm=arm.name,
            by=ranked.by,
            note=engine.note,
            degraded=not known or self._behind,
            items=places,
        )
        request = ask.model_dump(mode="json", exclude_defaults=True)
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
        if engine.catalog.number(why.item) is None:
            raise Unknown(f"There is no item {why.item!r}.")
        query = Query(
            user=state.session.user,
            history=tuple(why.history or state.said.get("history", ())),
            **engine.wanted(state.events, state.before),
            k=why.k,
            time=self._when(why.time, arm),
            by=why.by,
        )
        return await arm.batcher.explaining.call(lambda: engine.explain(query, why.item))

    async def feedback(self, events: Sequence[Event]) -> tuple[int, int]:
        """Store events, and let them change what their sessions are answered next.

        :returns: how many are new, and how many had been sent before. All are stored for good.
        :raises Unknown: where a session or an item is not known; then nothing is stored.
        :raises RecipeError: where a kind is none of several that the arms know; nor then.
        """
        kinds = {*self.kinds} - {*ANSWERED}
        wrong = [each.kind for each in events if each.kind not in {*kinds, *ANSWERED}]
        if wrong and len(kinds) > 1:
            there = ", ".join([*sorted(kinds), *ANSWERED])
            raise RecipeError(f"{wrong[0]!r} is no kind of feedback here; there are {there}.")
        now = datetime.now(UTC)
        if late := [each.time for each in events if each.time and each.time > now + AHEAD]:
            raise RecipeError(
                f"An event is of {late[0]:%Y-%m-%d %H:%M %Z}, and here it is {now:%Y-%m-%d %H:%M} "
                "UTC: set the clock of what sends it, or leave its time out."
            )
        states = [await self.sessions.held(event.session) for event in events]
        kept = []
        for event, state in zip(events, states, strict=True):
            if state is None:
                raise Unknown(f"There is no session {event.session!r}: ask for a slate first.")
            # Who was shown an item may like it after it was deleted.
            if not self._has(event.item):
                await self._catch_up()
            if not self._has(event.item):
                raise Unknown(f"There is no item {event.item!r}.")
            if event.answer is not None and not await self.sessions.was_shown(state, event):
                raise Unknown(
                    f"The answer {event.answer!r} has not shown the item {event.item!r} in the "
                    f"session {event.session!r}: name the one that has, or leave it out."
                )
            said = event.model_dump() | {"time": milliseconds(event.time)}
            kept.append(Feedback(user=state.session.user, **said))
        new = await self.writes.call(self.store.feedback, kept)
        for each, state, is_new in zip(kept, states, new, strict=True):
            if is_new and state is not None:
                state.happened((each.item, each.kind, each.time))
        return sum(new), len(new) - sum(new)

    def _has(self, item: str) -> bool:
        """Whether an id is an item's, or was."""
        return any(arm.batcher.engine.catalog.numbers([item]) for arm in self.arms.values())

    async def put(self, items: Sequence[Item]) -> list[str]:
        """Take in items, which the next answers may hold.

        :raises RecipeError: where one does not fit; then none is taken in.
        """
        rows: dict[str, dict[str, Any]] = {
            each.item: {"title": each.title, "text": each.text} | dict(each.attributes)
            for each in items
        }
        batchers = [arm.batcher for arm in self.arms.values()]
        async with self._changing:
            for batcher in batchers:
                for some in few(rows):
                    await batcher.reading.call(partial(batcher.engine.prepare, some))
            for some in few(rows):  # slates are answered between, also by other processes
                new = [{"item": item} | row for item, row in some.items()]
                await asyncio.to_thread(self.store.put_items, new)
                await self._catch_up()
        return list(rows)

    async def delete(self, items: Sequence[str]) -> list[str]:
        """Take items away; gives those that there were.

        :raises Unknown: where none of them is known.
        """
        await self._catch_up()
        catalogs = [arm.batcher.engine.catalog for arm in self.arms.values()]
        there = [item for item in items if any(c.number(item) is not None for c in catalogs)]
        if not there:
            raise Unknown(f"None of {len(items)} ids is an item's.")
        async with self._changing:
            await asyncio.to_thread(self.store.delete_items, there)
            await self._catch_up()
        return there

    def _refresh(self, engine: Engine) -> None:
        """Take in the items that were put and deleted since, by this process or another one."""
        try:
            while self.reads.now(self.store.newest) > engine.changed:
                for change in self.reads.now(self.store.items, engine.changed, SOME):
                    self._take_in(engine, change)
            self._behind = False
        except StoreError as error:
            if not self._behind:
                logger.warning("items may have changed", extra={"why": str(error)})
            self._behind = True

    def _take_in(self, engine: Engine, change: ItemChange) -> None:
        engine.changed = change.number
        if change.row is None:
            engine.catalog.delete([change.item])
            return
        row = {name: value for name, value in change.row.items() if name != "item"}
        try:
            engine.put(change.item, row)
        except RecipeError as error:  # another run's catalog may have other attributes
            logger.warning("item left out", extra={"item": change.item, "why": str(error)})

    async def watch(self) -> None:
        """Take in what other processes change while nobody asks for a slate; it never ends."""
        while True:
            await asyncio.sleep(WATCHED)
            await self._catch_up()

    async def _catch_up(self) -> None:
        for arm in self.arms.values():
            await arm.batcher.catch_up()

    async def person(self, user: str) -> dict[str, list[dict[str, Any]]]:
        """All that is stored of a person, by any of their ids.

        :raises Unknown: where there is nothing.
        """
        user = self._known_as(user) or user
        stored = await self.writes.call(self.store.person, user)
        if not any(stored.values()):
            raise Unknown(f"Nothing is stored of {user!r}.")
        return stored

    async def forget(self, user: str) -> dict[str, int]:
        """Erase all that is stored of a person; how many rows of each kind there were.

        :raises Unknown: where there is nothing.
        """
        user = self._known_as(user) or user
        await self.person(user)
        counts = await self.writes.call(lambda: self.store.forget(user=user))
        self.sessions.drop(user)
        return counts

    async def forget_events(self, session: str, ids: Sequence[str]) -> int:
        """Erase events of a session, such as wrong ones, which may then be sent anew."""
        counts = await self.writes.call(lambda: self.store.forget(session=session, ids=ids))
        return counts["feedback"]

    async def similar(self, item: str, k: int, arm: str | None = None) -> list[Shown]:
        """The items most like an item.

        :raises Unknown: where there is no such item.
        """
        batcher = self._arm(arm).batcher
        if (number := batcher.engine.catalog.number(item)) is None:
            raise Unknown(f"There is no item {item!r}.")
        numbers, scores = await batcher.call(lambda engine: engine.similar(number, k))
        return _places(batcher.engine, numbers, scores)

    async def reload(self, name: str | None = None) -> dict[str, Any]:
        """Load an arm anew, while the old one answers, and swap them.

        :raises LightrecError: where it cannot be loaded; the old one goes on.
        """
        async with self._reloading:
            arm = self._arm(name)
            fresh = await asyncio.to_thread(arm.load)
            async with self._changing:  # no item is put between these two
                await asyncio.to_thread(self._refresh, fresh)
                await arm.batcher.swap(fresh)
                await asyncio.to_thread(self._note)
        # The old engine refers to itself: without this, several would be in memory for a while.
        await asyncio.to_thread(gc.collect)
        logger.info("reloaded", extra={"arm": arm.name})
        return fresh.about()

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

    async def numbers(self, hours: float, trial: bool = False) -> "list[ArmNumbers]":
        """Count what each arm has shown in the last hours, or to those who only tried it."""
        if (held := self._counted.get((hours, trial))) is not None and monotonic() < held[0]:
            return held[1]
        began, since = monotonic(), milliseconds() - int(hours * 3_600_000)
        counted = await self._counting.call(lambda: self.store.numbers(since, trial))
        if (took := monotonic() - began) > LONG:  # the page asks every 10 seconds
            self._counted = {(hours, trial): (monotonic() + 30 * took, counted)}
        return counted

    def split(self, counted: "Sequence[ArmNumbers]") -> float | None:
        """How likely chance splits people among the arms as unevenly: Pearson's chi-squared test.

        Near 0 something else splits them, such as requests that fail in one arm, and the arms
        cannot be compared. None where there are no two arms to meet, or nobody has met one.
        """
        from scipy.stats import chisquare

        met = {arm.arm: arm.people for arm in counted}
        weights = {name: arm.weight for name, arm in self.arms.items() if arm.weight}
        people = [met.get(name, 0) for name in weights]
        if len(weights) < 2 or not any(people):
            return None
        each = sum(people) / sum(weights.values())
        return float(chisquare(people, [each * weight for weight in weights.values()]).pvalue)

    def users(self, count: int) -> list[str]:
        """Some users of the log."""
        return self._arm(None).batcher.engine.users(count)

    def close(self) -> None:
        """Finish what was begun, and close the store."""
        for arm in self.arms.values():
            arm.batcher.close()
        for each in (self._counting, self.reads, self.writes):
            each.close()
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

        Another experiment, of arms with other names, draws anew: who had bad luck in one has not in
        the next.
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
            raise Conflict("The session is another person's: leave it out, and a new one begins.")
        arm_name = state.session.arm
        if arm_name not in self.arms or ask.arm not in (None, arm_name):
            raise Conflict(
                f"The session is of the arm {arm_name!r}: leave it out, and a new one begins."
            )
        return state

    def _known_as(self, user: str | None) -> str | None:
        """The id by which the arms know a person."""
        for arm in self.arms.values():
            user = None if user is None else arm.batcher.engine.known_as(user)
        return user


def few(rows: Mapping[str, T]) -> list[dict[str, T]]:
    """Rows, :data:`FEW` at a time."""
    every = [*rows.items()]
    return [dict(every[at : at + FEW]) for at in range(0, len(every), FEW)]


def milliseconds(time: datetime | None = None) -> int:
    """A time, or the present, in milliseconds since 1970 UTC; without a zone it is UTC."""
    if time is None:
        return time_ns() // 1_000_000
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def _places(engine: Engine, items: Sequence[int], scores: Sequence[float]) -> list[Shown]:
    """Describe items by their numbers, best first."""
    places = []
    for rank, (number, score) in enumerate(zip(items, scores, strict=True), 1):
        item, title, text = engine.catalog.describe(number)
        place = Shown(rank=rank, item=item, title=title, text=text, score=score, propensity=None)
        places.append(place)
    return places
