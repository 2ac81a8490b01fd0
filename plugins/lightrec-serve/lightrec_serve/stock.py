"""Items that are put and deleted while serving, by this process or another one."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from lightrec.api import RecipeError
from lightrec.errors import LightrecError
from lightrec_serve.batching import Batcher
from lightrec_serve.engine import Engine
from lightrec_serve.schema import Item
from lightrec_serve.sessions import Patient
from lightrec_serve.store import ItemChange, Store, StoreError

SOME: Final = 100
"""Changes of items that are read at once: a store that does not hang gives so many in time."""
FEW: Final = 8
"""Items that are taken in between two batches of slates."""
logger = logging.getLogger("lightrec.serve")
T = TypeVar("T")


class Unknown(LightrecError):
    """A request names what there is not."""


class Stock:
    """The items of all arms.

    :param store: where changes are kept, which all processes take in before they answer.
    :param reads: calls it.
    """

    def __init__(self, store: Store, reads: Patient) -> None:
        self.store, self.reads = store, reads
        self.batchers: list[Batcher] = []
        """Of the arms."""
        self.behind = False
        """Whether the store did not say of late which items have changed."""
        self.changing = asyncio.Lock()

    async def has(self, item: str) -> bool:
        """Whether an id is an item's, or was: who was shown an item may like it after it went."""
        for _ in range(2):
            if any(batcher.engine.catalog.numbers([item]) for batcher in self.batchers):
                return True
            await self.catch_up()
        return False

    async def put(self, items: Sequence[Item]) -> list[str]:
        """Take in items, which the next answers may hold.

        :raises RecipeError: where one does not fit; then none is taken in.
        """
        rows: dict[str, dict[str, Any]] = {
            each.item: {"title": each.title, "text": each.text} | dict(each.attributes)
            for each in items
        }
        async with self.changing:
            for batcher in self.batchers:
                for some in few(rows):
                    await batcher.reading.call(partial(batcher.engine.prepare, some))
            for some in few(rows):  # slates are answered between, also by other processes
                new = {item: {"item": item} | row for item, row in some.items()}
                await asyncio.to_thread(self.store.change_items, new)
                await self.catch_up()
        return list(rows)

    async def delete(self, items: Sequence[str]) -> list[str]:
        """Take items away; gives those that there were.

        :raises Unknown: where none of them is known.
        """
        await self.catch_up()
        catalogs = [batcher.engine.catalog for batcher in self.batchers]
        there = [item for item in items if any(c.number(item) is not None for c in catalogs)]
        if not there:
            raise Unknown(f"None of {len(items)} ids is an item's.")
        async with self.changing:
            await asyncio.to_thread(self.store.change_items, dict.fromkeys(there))
            await self.catch_up()
        return there

    async def catch_up(self) -> None:
        """Have all arms take in what has changed."""
        for batcher in self.batchers:
            await batcher.call(lambda _: None)  # by which it refreshes

    def refresh(self, engine: Engine) -> None:
        """Take in the items that were put and deleted since, by this process or another one."""
        try:
            while self.reads.now(self.store.newest) > engine.changed:
                for change in self.reads.now(self.store.items, engine.changed, SOME):
                    _take_in(engine, change)
            self.behind = False
        except StoreError as error:
            if not self.behind:
                logger.warning("items may have changed", extra={"why": str(error)})
            self.behind = True


def _take_in(engine: Engine, change: ItemChange) -> None:
    engine.changed = change.number
    if change.row is None:
        engine.catalog.delete([change.item])
        return
    row = {name: value for name, value in change.row.items() if name != "item"}
    try:
        engine.put(change.item, row)
    except RecipeError as error:  # another run's catalog may have other attributes
        logger.warning("item left out", extra={"item": change.item, "why": str(error)})


def few(rows: Mapping[str, T]) -> list[dict[str, T]]:
    """Rows, :data:`FEW` at a time."""
    every = [*rows.items()]
    return [dict(every[at : at + FEW]) for at in range(0, len(every), FEW)]
