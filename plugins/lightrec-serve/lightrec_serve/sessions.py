"""The states of sessions: in memory, as the store has them, and without it where it hangs."""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final, TypeVar

from lightrec.errors import LightrecError
from lightrec_serve.schema import Event
from lightrec_serve.store import KnownOf, Session, Store, StoreError

HELD: Final = 50_000
"""Sessions whose state is held in memory; others are read from the store when they continue."""
REMEMBERED: Final = 1_000
"""Events of a person's other sessions that a session knows, and of itself: the newest of each."""
KEPT: Final = 20
"""Events that a session keeps in memory, for as long as the store cannot be asked."""
FULL: Final = 500
"""Sessions that keep all the events that they know."""
MADE_HERE: Final = re.compile("[0-9a-f]{32}")
"""Ids of sessions that a service has made."""
SLATES: Final = 20
"""Answers of a session that are held with what they have shown; others are looked up."""
OF_PERSON: Final = ("history", "profile")
"""Fields of a request that the session keeps for later ones, which need not say them again."""
WRITTEN: Final = 0.2
"""Seconds within which another process has written an answer that it gave."""
THREADS: Final = 8
T = TypeVar("T")
Happened = tuple[str, str, int]
"""An event: its item, its kind, and its time as in a store."""


class Conflict(LightrecError):
    """A request contradicts what is known."""


class Patient:
    """Calls of a store that may hang: each is waited for only so long, none begins while one hangs.

    :param wait: seconds.
    """

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._begun: dict[object, float] = {}
        """When each call that is not done began; one that waits for a thread has not begun."""

    async def call(self, function: Callable[..., T], *given: Any) -> T:
        """Call something of the store.

        :raises StoreError: where it fails or is not done in time; it may still be done later.
        """
        doing = asyncio.wrap_future(self._do(function, *given))
        try:
            return await asyncio.wait_for(doing, self.wait)
        except TimeoutError:
            raise self._late() from None

    def now(self, function: Callable[..., T], *given: Any) -> T:
        """The same for a thread that waits for it."""
        try:
            return self._do(function, *given).result(self.wait)
        except TimeoutError:
            raise self._late() from None

    def _do(self, function: Callable[..., T], *given: Any) -> "Future[T]":
        if any(monotonic() - since > self.wait for since in [*self._begun.values()]):
            raise self._late()
        call = object()

        def timed() -> T:
            self._begun[call] = monotonic()
            try:
                return function(*given)
            finally:
                del self._begun[call]

        return self._threads.submit(timed)

    def _late(self) -> StoreError:
        return StoreError(f"The store has not answered for {self.wait:g} seconds.")

    def close(self) -> None:
        """End the threads; one that hangs is left to itself."""
        self._threads.shutdown(wait=not self._begun, cancel_futures=True)


@dataclass
class State:
    """The state of a session.

    :param begun: whether it is stored.
    :param unsent: whether its id was made here and nobody has it yet, who could begin it, too.
    """

    session: Session
    begun: bool = True
    unsent: bool = False
    said: dict[str, Any] = field(default_factory=dict)
    """What requests have said of the person, the last of each of :data:`OF_PERSON`."""
    profile: dict[str, Any] | None = None
    """The person's attributes as they were put."""
    events: list[Happened] = field(default_factory=list)
    before: int = 0
    """How many of them are of other sessions."""
    written: bool = False
    """Whether its row was seen in the store: if it is not there any more, it was erased."""
    elsewhere: bool = False
    """Whether another process has answered last, which may still be writing."""
    shown: dict[str, set[str]] = field(default_factory=dict)
    """Items of the session's last answers."""

    def rest(self) -> None:
        """Forget all but the last events: they are read for each request, if the store is there."""
        cut = max(0, len(self.events) - KEPT)
        self.events, self.before = self.events[cut:], max(0, self.before - cut)

    def showed(self, answer: str, items: set[str]) -> None:
        """Note what an answer has shown."""
        self.shown[answer], self.elsewhere = items, False
        if len(self.shown) > SLATES:
            del self.shown[next(iter(self.shown))]


class Sessions:
    """The states of a store's sessions, which other processes may continue with, too.

    :param reads: calls the store.
    """

    def __init__(self, store: Store, reads: Patient) -> None:
        self.store, self.reads = store, reads
        self._states: OrderedDict[str, State] = OrderedDict()
        self._full = deque[State]()
        """Those that hold all events that they know."""

    def in_memory(self, name: str | None) -> State | None:
        """The state of a session as it was known last, if it is held."""
        return self._states.get(name or "")

    async def held(self, name: str) -> State | None:
        """The state of a session that has begun; None where there is none."""
        if (state := self._states.get(name)) is not None:
            self._states.move_to_end(name)
            known = await self.reads.call(self.store.known_of, name, state.session.user)
            erased = state.written and not known.there
            state.written |= known.there
            if not erased and (known.answer is None or known.answer in state.shown):
                return await self._with_events(state, known)
            if self._states.get(name) is state:  # it continued elsewhere
                del self._states[name]
            if erased:
                return None
        session = await self.reads.call(self.store.session, name)
        if session is None and MADE_HERE.fullmatch(name):  # by another process, which may write it
            await asyncio.sleep(WRITTEN)
            session = await self.reads.call(self.store.session, name)
        return None if session is None else self._hold(await self._read(State(session)))

    def drop(self, user: str) -> None:
        """Forget the sessions of a person."""
        for name in [name for name, state in self._states.items() if state.session.user == user]:
            del self._states[name]

    async def new(self, session: Session, unsent: bool) -> State:
        """The state of a session that begins."""
        state = State(session, False, unsent)
        return state if session.user is None else await self._read(state)

    async def begin(self, state: State) -> None:
        """Store a session that was answered for the first time.

        :raises Conflict: where another person has begun it meanwhile.
        """
        if state.begun:
            return
        if state.unsent:
            self.store.begun(state.session)
        else:
            held = await self.reads.call(self.store.begin, state.session)
            if replace(held, began=0) != replace(state.session, began=0):
                raise Conflict("Another person began this session: leave it out, and one begins.")
        state.begun = True
        self._hold(state)

    async def shown(self, state: State, known: bool) -> tuple[str, ...]:
        """Ids of the items that a session's answers have shown.

        :param known: whether the store can be asked; else what is in memory has to do.
        """
        items = {item for answer in state.shown.values() for item in answer}
        if known and state.begun:
            await asyncio.sleep(WRITTEN * state.elsewhere)
            items |= await self.reads.call(self.store.shown, state.session.id)
        return tuple(sorted(items))

    async def was_shown(self, state: State, event: Event) -> bool:
        """Whether an event names an answer that has shown its item in its session."""
        answer = event.answer or ""
        for wait in (0.0, WRITTEN):
            if answer not in state.shown:
                await asyncio.sleep(wait)
                items = await self.reads.call(self.store.shown, state.session.id, answer)
                state.shown[answer] = items
            if event.item in state.shown[answer]:
                return True
            del state.shown[answer]
        return False

    async def _read(self, state: State) -> State:
        """Read what is stored of a session."""
        name, user = state.session.id, state.session.user
        known = await self.reads.call(self.store.known_of, name, user)
        state.written, state.elsewhere = known.there, state.begun
        if state.begun:
            if known.answer is not None:
                shown = await self.reads.call(self.store.shown, name, known.answer)
                state.shown[known.answer] = shown
            asked = await self.reads.call(self.store.asked, name)
            state.said = {said: asked[said] for said in OF_PERSON if said in asked}
        return await self._with_events(state, known)

    async def _with_events(self, state: State, known: KnownOf) -> State:
        """Read the events that a session knows."""
        state.events, state.before, state.profile = [], 0, known.profile
        if known.events:
            of = state.session.id, state.session.user, REMEMBERED
            state.events, state.before = await self.reads.call(self.store.happened, *of)
        self._full.append(state)
        if len(self._full) > FULL:
            self._full.popleft().rest()
        return state

    def _hold(self, state: State) -> State:
        # Another request may have made it meanwhile, and gone on.
        state = self._states.setdefault(state.session.id, state)
        while len(self._states) > HELD:
            self._states.popitem(last=False)
        return state
