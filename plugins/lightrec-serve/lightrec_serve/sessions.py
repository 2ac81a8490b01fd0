"""The states of sessions: in memory, as the store has them, and without it where it hangs."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

from lightrec.errors import LightrecError
from lightrec_serve.schema import Event
from lightrec_serve.store import Session, Store, StoreError

HELD: Final = 50_000
"""Sessions whose state is held in memory; others are read from the store when they go on."""
REMEMBERED: Final = 1_000
"""Events of earlier sessions that a session knows, and of itself: in each case the newest ones."""
SLATES: Final = 20
"""Answers of a session that are held with what they have shown; others are looked up."""
OF_PERSON: Final = ("history", "profile")
"""Fields of a request that the session keeps for later ones, which need not say them again."""
WRITTEN: Final = 0.2
"""Seconds within which another process has written an answer that it gave."""
THREADS: Final = 8
T = TypeVar("T")


class Conflict(LightrecError):
    """A request contradicts what is known."""


class Patient:
    """Calls of a store that may hang: each is waited for only so long, none begins while one hangs.

    :param wait: seconds.
    """

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._begun: dict[Future[Any], float] = {}

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
        future = self._threads.submit(function, *given)
        self._begun[future] = monotonic()
        future.add_done_callback(lambda done: self._begun.pop(done, None))
        return future

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
    events: list[tuple[str, str, int]] = field(default_factory=list)
    """Items of the user's events, the kinds of these, and their times as in a store."""
    before: int = 0
    """How many of them are of earlier sessions."""
    count: int = 0
    """Events of the session, those that it has forgotten included."""
    shown: dict[str, set[str]] = field(default_factory=dict)
    """Items of the session's last answers."""

    def happened(self, event: tuple[str, str, int]) -> None:
        """Note an event of the session, which forgets the oldest of very many."""
        self.events.append(event)
        self.count += 1
        if len(self.events) - self.before > REMEMBERED:
            del self.events[self.before]

    def showed(self, answer: str, items: set[str]) -> None:
        """Note what an answer has shown."""
        self.shown[answer] = items
        if len(self.shown) > SLATES:
            del self.shown[next(iter(self.shown))]


class Sessions:
    """The states of a store's sessions, which other processes may go on with, too.

    :param reads: calls the store.
    """

    def __init__(self, store: Store, reads: Patient) -> None:
        self.store, self.reads = store, reads
        self._states: OrderedDict[str, State] = OrderedDict()

    def in_memory(self, name: str | None) -> State | None:
        """The state of a session as it was known last, if it is held."""
        return self._states.get(name or "")

    async def held(self, name: str) -> State | None:
        """The state of a session that has begun; None where there is none."""
        if (state := self._states.get(name)) is not None:
            self._states.move_to_end(name)
            events, last = await self.reads.call(self.store.known_of, name)
            if events == state.count and (last is None or last in state.shown):
                return state
            del self._states[name]  # it went on elsewhere, or something of it was erased
        session = await self.reads.call(self.store.session, name)
        if session is None:
            return None
        return self._hold(await self.reads.call(self._read, State(session)))

    def drop(self, user: str) -> None:
        """Forget the sessions of a person."""
        for name in [name for name, state in self._states.items() if state.session.user == user]:
            del self._states[name]

    async def new(self, session: Session, unsent: bool) -> State:
        """The state of a session that begins."""
        state = State(session, False, unsent)
        return state if session.user is None else await self.reads.call(self._read, state)

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
            if (held.user, held.arm) != (state.session.user, state.session.arm):
                raise Conflict(
                    "Another person has begun this session: leave it out, and one begins."
                )
        state.begun = True
        self._hold(state)

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

    def _read(self, state: State) -> State:
        """Read what is stored of a session."""
        session = state.session
        if session.user is not None:
            earlier = self.store.history(session.user, session.began, REMEMBERED)
            state.events = [(event.item, event.kind, event.time) for event in earlier]
            state.before = len(earlier)
        if state.begun:
            since = self.store.events(session.id, REMEMBERED)
            state.events += [(event.item, event.kind, event.time) for event in since]
            state.count, last = self.store.known_of(session.id)
            state.shown |= {last: self.store.shown(session.id, last)} if last else {}
            asked = self.store.asked(session.id)
            state.said = {name: asked[name] for name in OF_PERSON if name in asked}
        return state

    def _hold(self, state: State) -> State:
        # Another request may have made it meanwhile, and gone on.
        state = self._states.setdefault(state.session.id, state)
        while len(self._states) > HELD:
            self._states.popitem(last=False)
        return state
