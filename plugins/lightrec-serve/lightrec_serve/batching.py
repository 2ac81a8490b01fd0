"""One engine, one thread: what waits while it works is answered together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, TypeVar

from lightrec.errors import LightrecError
from lightrec_serve.engine import Engine, Query, Ranked

LARGEST: Final = 64
"""Queries that are answered together at most."""
SOON: Final = 2.0
"""Seconds after which a query should be answered: where it would wait longer, it is refused."""
LATER: Final = 3.0
"""The same of what takes longer than a slate: words, misspelt names, an explanation."""
T = TypeVar("T")
Answered = tuple[Engine, Ranked]
"""A slate, and the engine whose items its numbers mean."""


class Busy(LightrecError):
    """More is asked than can be answered in time."""


class Lane:
    """A thread beside the engine's, for what takes long and changes nothing that answers.

    :param name: of what waits, in words; for one event loop.
    """

    def __init__(self, name: str) -> None:
        self.name, self._waiting = name, 0
        self._pace = 0.5
        """Seconds that a call took of late."""
        self._thread = ThreadPoolExecutor(1)

    async def call(self, function: Callable[[], T]) -> T:
        """Call something once its turn comes.

        :raises Busy: where it would have to wait for longer than :data:`LATER`.
        """
        if self._waiting * self._pace > LATER:
            raise Busy(f"{self._waiting} others wait for {self.name}: try again in a moment.")

        def timed() -> T:
            began = perf_counter()
            try:
                return function()
            finally:
                self._pace += (perf_counter() - began - self._pace) / 4

        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, timed)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the thread once it has done what it is doing."""
        self._thread.shutdown(cancel_futures=True)


class Batcher:
    """Hands queries to an engine; for one event loop.

    :param engine: nobody else may change it.
    :param refresh: called with the engine, on its thread, before anything else is done with it.
    """

    def __init__(self, engine: Engine, refresh: Callable[[Engine], None] = lambda _: None) -> None:
        self.engine, self.refresh = engine, refresh
        self.reading, self.explaining = Lane("words to be read"), Lane("explanations")
        self._waiting: list[tuple[Query, asyncio.Future[Answered]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._work: asyncio.Task[None] | None = None
        self._pace = 0.0
        """Seconds that a query took of late."""

    async def answer(self, query: Query) -> Answered:
        """Answer a query, and say which engine did.

        :raises LightrecError: where the query cannot be answered as it is.
        :raises Busy: where it would have to wait for longer than :data:`SOON`.
        """
        if not self.engine.ready(query):
            await self.reading.call(lambda: self.engine.read(query))
        if len(self._waiting) * self._pace > SOON:
            raise Busy(f"{len(self._waiting)} others wait for a slate: try again in a moment.")
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        """Answer what waits, some at a time, until nothing does."""
        loop = asyncio.get_running_loop()
        while there := [each for each in self._waiting if not each[1].cancelled()]:
            batch, self._waiting = there[:LARGEST], there[LARGEST:]
            queries, began = [query for query, _ in batch], perf_counter()
            engine, results = await loop.run_in_executor(self._thread, self._answer, queries)
            self._pace += ((perf_counter() - began) / len(batch) - self._pace) / 4
            for (_, future), result in zip(batch, results, strict=True):
                if future.cancelled():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result((engine, result))
        self._waiting = []

    def _answer(self, queries: list[Query]) -> tuple[Engine, list[Ranked | Exception]]:
        engine, results = self.engine, list[Ranked | Exception]()
        try:
            self.refresh(engine)
            answers = engine.answer(queries)
            for query, answer in zip(queries, answers, strict=True):
                if query.draw and isinstance(answer, Ranked):
                    answer.left = engine.left(query, answer)
            return engine, [*answers]
        except Exception as error:  # which nobody else's answer should fail for
            if len(queries) == 1:
                return engine, [error]
        for query in queries:
            results += self._answer([query])[1]
        return engine, results

    async def call(self, function: Callable[[Engine], T]) -> T:
        """Call something with the engine between two batches."""

        def refreshed() -> T:
            self.refresh(self.engine)
            return function(self.engine)

        return await asyncio.get_running_loop().run_in_executor(self._thread, refreshed)

    async def swap(self, engine: Engine) -> None:
        """Answer by another engine from now on."""
        await self.call(lambda _: setattr(self, "engine", engine))

    def close(self) -> None:
        """End the threads once they have nothing to do."""
        for each in (self.reading, self.explaining):
            each.close()
        self._thread.shutdown()
