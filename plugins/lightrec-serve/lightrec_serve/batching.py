"""One engine, one thread: what waits while it works is answered together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from lightrec_serve.engine import Engine, Query, Ranked

LARGEST: Final = 64
"""Queries that are answered together at most."""
T = TypeVar("T")
Answered = tuple[Engine, Ranked]
"""A slate, and the engine whose items its numbers mean."""


class Batcher:
    """Hands queries to an engine; for one event loop.

    :param engine: nobody else may call it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[Query, asyncio.Future[Answered]]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._busy = False

    async def answer(self, query: Query) -> Answered:
        """Answer a query, and say which engine did.

        :raises LightrecError: where the query cannot be answered as it is.
        """
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, future))
        if not self._busy:
            self._next()
        return await future

    def _next(self) -> None:
        batch, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
        self._busy = bool(batch)
        if batch:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, self._answer, [query for query, _ in batch])
            work.add_done_callback(lambda done: self._tell(batch, done))

    def _answer(self, queries: list[Query]) -> tuple[Engine, list[Ranked | Exception]]:
        engine, results = self.engine, list[Ranked | Exception]()
        try:
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

    def _tell(
        self,
        batch: list[tuple[Query, "asyncio.Future[Answered]"]],
        done: "asyncio.Future[tuple[Engine, list[Ranked | Exception]]]",
    ) -> None:
        engine, results = done.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future.cancelled():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result((engine, result))
        self._next()

    async def call(self, function: Callable[[Engine], T]) -> T:
        """Call something with the engine between two batches."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(self.engine))

    async def swap(self, engine: Engine) -> None:
        """Answer by another engine from now on."""
        await self.call(lambda _: setattr(self, "engine", engine))

    def close(self) -> None:
        """End the thread once it has nothing to do."""
        self._thread.shutdown()
