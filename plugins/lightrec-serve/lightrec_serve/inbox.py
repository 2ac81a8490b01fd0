"""What people did: checked, stored, and kept aside while the store is not there."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from time import time_ns
from typing import Final

from lightrec.api import RecipeError
from lightrec.errors import LightrecError
from lightrec_serve import personal
from lightrec_serve.schema import Event
from lightrec_serve.sessions import Patient, Sessions, State
from lightrec_serve.stock import Stock, Unknown
from lightrec_serve.store import Feedback, Session, Store, StoreError

AHEAD: Final = timedelta(minutes=5)
"""Time by which a client's clock may be ahead."""
ANSWERED: Final = ("accepted", "dismissed")
"""Kinds of feedback that may always be sent beside those of the runs."""
TOGETHER: Final = 1_000
"""Events that are brought from where they were kept aside at a time."""
logger = logging.getLogger("lightrec.serve")


class Inbox:
    """Takes feedback.

    :param sessions: of the store in which it is kept.
    :param writes: calls this store.
    :param aside: a store, on a disk of this machine, for what cannot be stored at once; it is
        brought into the other one later, each event once. None: refuse it.
    :param outside: makes the session of a person's events outside all sessions.
    """

    def __init__(
        self,
        sessions: Sessions,
        stock: Stock,
        writes: Patient,
        aside: Store | None,
        outside: Callable[[str], Session],
    ) -> None:
        self.sessions, self.stock, self.writes = sessions, stock, writes
        self.store, self.aside, self.outside = sessions.store, aside, outside

    @property
    def waiting(self) -> int:
        """Number of events that are kept aside."""
        return 0 if self.aside is None else self.aside.count()

    async def take(self, events: Sequence[Event], kinds: Collection[str]) -> tuple[int, int, int]:
        """Store events, and let them change what their people are answered next.

        :param kinds: those that are known.
        :returns: how many are new, how many had been sent before, and how many are kept aside. All
            are on a disk.
        :raises Unknown: where a session or an item is not known; then nothing is stored.
        :raises RecipeError: where a kind is none of several that are known, or a time is to come.
        """
        self._check(events, {*kinds} - {*ANSWERED})
        for event in events:
            if not await self.stock.has(event.item):
                raise Unknown(f"There is no item {event.item!r}.")
        try:
            return *await self._store(events), 0
        except StoreError as error:
            waiting = await self._keep_aside(events, error)
            logger.warning("feedback kept aside", extra={"why": str(error)})
        return 0, 0, waiting

    def _check(self, events: Sequence[Event], kinds: Collection[str]) -> None:
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

    async def _store(self, events: Sequence[Event]) -> tuple[int, int]:
        kept, states = list[Feedback](), dict[tuple[str | None, str | None], State]()
        for event in events:
            of = event.session, event.user
            if (state := states.get(of)) is None:
                state = states[of] = await self._state(event)
            if event.answer is not None and not await self.sessions.was_shown(state, event):
                raise _not_shown(event)
            kept.append(_row(event, state.session))
        new = await self.writes.call(self.store.feedback, kept)
        return sum(new), len(new) - sum(new)

    async def _state(self, event: Event) -> State:
        """The state of an event's session; that of a person's events outside of any may begin."""
        fresh = None if event.user is None else self.outside(event.user)
        name = event.session or (fresh.id if fresh else "")
        if (state := await self.sessions.held(name)) is not None:
            return state
        if event.session is not None or fresh is None:
            raise Unknown(f"There is no session {name!r}: ask for a slate first.")
        state = await self.sessions.new(fresh, unsent=False)
        await self.sessions.begin(state)
        return state

    async def _keep_aside(self, events: Sequence[Event], error: StoreError) -> int:
        """Keep events until the store is there, with their sessions.

        :raises StoreError: where nothing is kept aside, or a session is not known here: once it
            turned out that nobody knows it, its events would be lost.
        """
        if self.aside is None:
            raise error
        rows = []
        for event in events:
            session = None if event.user is None else self.outside(event.user)
            state = self.sessions.in_memory(event.session or (session.id if session else None))
            if state is not None:
                session, shown = state.session, state.shown.get(event.answer or "")
                if shown is not None and event.item not in shown:
                    raise _not_shown(event)
            if session is None:
                raise error
            await asyncio.to_thread(self.aside.begin, session)  # on a disk here, which is there
            rows.append(_row(event, session))
            if state is not None:
                state.events = [*state.events, (event.item, event.kind, rows[-1].time)]
        await asyncio.to_thread(self.aside.feedback, rows)
        return len(rows)

    async def bring(self) -> None:
        """Bring what was kept aside into the store, if that is there.

        :raises StoreError: where it is not.
        """
        if self.aside is None or not self.waiting:
            return
        by_session = attrgetter("session")
        kept = sorted(self.aside.oldest(TOGETHER), key=by_session)
        for name, some in groupby(kept, by_session):
            rows = [*some]
            if (session := self.aside.session(name)) is not None:  # else it was brought before
                await self.writes.call(self.store.begin, session)
            await self.writes.call(self.store.feedback, rows)
            brought = personal.events(name, [row.id for row in rows], whole=True)
            personal.erase(self.aside, brought)
        logger.info("feedback brought", extra={"events": len(kept), "left": self.waiting})


def milliseconds(time: datetime | None = None) -> int:
    """A time, or the present, in milliseconds since 1970 UTC."""
    return time_ns() // 1_000_000 if time is None else round(time.timestamp() * 1000)


def _not_shown(event: Event) -> LightrecError:
    return Unknown(
        f"The answer {event.answer!r} has not shown the item {event.item!r} in the session "
        f"{event.session!r}: name the one that has, or leave it out."
    )


def _row(event: Event, session: Session) -> Feedback:
    said = event.model_dump() | {"session": session.id, "user": session.user}
    return Feedback(**said | {"time": milliseconds(event.time)})
