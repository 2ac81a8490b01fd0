"""Engines that answer queries: the contract of all."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from lightrec_export.worth import worth_of
from lightrec_rules.rules import RuleBook, Standing
from torch import Tensor

from lightrec.api import Column, RecipeError
from lightrec.errors import LightrecError
from lightrec_serve.catalog import Catalog
from lightrec_serve.newcomers import Newcomers

MOST: Final = 1_000
"""Items at most that are named as those that could come at a place."""
logger = logging.getLogger("lightrec.serve")
Reason = tuple[int, float]
"""An item of the history, and the share of its probability that another one has without it."""


@dataclass(frozen=True)
class Query:
    """A request whose session is known.

    :param history: titles or ids of items after those of the log, oldest first.
    :param accepted: ids of items of wanted events after these; what is no item any more counts for
        nothing.
    :param kinds: of these events; none where each makes its item had.
    :param dismissed: ids of items that may not come.
    :param shown: ids of items that may not come since earlier answers have shown them.
    :param done: ids of the items of all events after those of the log, wanted or not, with their
        kinds and times in milliseconds since 1970 UTC, of which the first ``earlier`` are of
        earlier sessions: by these the domain is asked.
    :param draw: whether the slate is drawn by the law of Plackett and Luce, seeded by ``seed``.
    :raises RecipeError: where more places are kept for ``new`` items than there are, or all are to
        be drawn; and where a next page is.
    """

    user: str | None = None
    history: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    dismissed: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    done: tuple[tuple[str, str, int], ...] = ()
    earlier: int = 0
    profile: Mapping[str, Any] | None = None
    ask: str | None = None
    k: int = 10
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    candidates: tuple[str, ...] | None = None
    discover: bool = False
    new: int = 0
    time: datetime | None = None
    by: str | None = None
    draw: bool = False
    seed: int = 0
    explain: bool = False

    def __post_init__(self) -> None:
        if self.new > self.k:
            raise RecipeError(f"Of {self.k} places, {self.new} cannot be reserved for new items.")
        if self.new and self.draw:
            raise RecipeError("New items get reserved places, or all places are drawn; not both.")
        if self.shown and self.draw:
            raise RecipeError("A slate that is drawn has no next page: draw a longer one.")


@dataclass
class Ranked:
    """A slate by the numbers of its items, best first.

    :param propensities: of each item at its place, given the places before; 1 where none is drawn.
    :param log_prob: of the whole slate.
    :param why: for each item the events of the history that speak most for it, see
        :func:`lightrec_serve.slates.reasons`.
    :param pinned: the items that have places of their own by the standing rules.
    :param rules: what names these rules; empty where there are none.
    :param seconds: spent on the ``tower`` and on the ``search``.
    """

    items: list[int]
    scores: list[float]
    by: str
    propensities: list[float]
    log_prob: float = 0.0
    why: list[list[Reason]] = field(default_factory=list)
    pinned: frozenset[int] = frozenset()
    rules: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    may: Tensor | None = None
    """(N + L + 1,) bool, what the rules let this person see."""
    left: list[tuple[str, ...]] = field(default_factory=list)
    """The ids of the items that could come at each place, as :meth:`Engine.left` names them."""


class Engine(ABC):
    """Answers queries, one batch at a time; not for several threads at once."""

    catalog: Catalog
    newcomers: Newcomers
    book: RuleBook
    changed = 0
    """The number of the last change of an item in the store that it has taken in."""
    _mark = ""
    log_users: Sequence[str] | pl.Series
    """The ids of the users of the log, where they are known."""
    repeats: bool
    """Whether an item may come again."""
    note = ""
    """A sentence of every answer, such as a field's disclaimer."""
    worth: Mapping[str, float] = MappingProxyType({})
    """The worth of kinds of feedback, as the run weighs them."""
    last: datetime | None = None
    """The time of the log's last event, as of which the field is asked what may be shown where
    nobody says another; None where it forbids nothing, or the log has no times."""
    goal: Sequence[str] = ()
    """The kinds of feedback that are to be brought about; none: every kind."""
    temperature = 1.0
    """Temperature of drawn slates: near 0 the best items, above 1 more even."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Describe what answers, for people: its name, version and why it ranks as it does."""

    def users(self, count: int, begin: str = "") -> list[str]:
        """Users spread over the log, of those whose ids begin so."""
        people = self.log_users
        if begin:
            names = pl.Series(people, dtype=pl.String)
            people = names.filter(names.str.starts_with(begin))
        places = np.linspace(0, len(people) - 1, min(count, len(people))).astype(int).tolist()
        return [people[place] for place in places]

    def known_as(self, user: str) -> str:
        """The id by which a person is known, for any of their ids."""
        return user

    def check_profile(self, profile: Mapping[str, Any]) -> None:
        """Refuse attributes of a person that lists cannot be made by.

        :raises RecipeError: where one does not fit, or none can be used.
        """
        raise RecipeError("Only a run reads attributes of people: serve the run itself.")

    def past(self, user: str, most: int) -> Sequence[tuple[int, str | None, int | None]]:
        """Items of a person's last events in the log, the newest first, with kinds and times in
        milliseconds, where the log is there."""
        return []

    def ready(self, query: Query) -> bool:
        """Whether :meth:`read` has nothing to do that could take long. Any thread may ask."""
        catalog = self.catalog
        read = catalog.knows(query.history) and catalog.has_read(query.exclude, query.only)
        return read and query.ask is None

    def read(self, query: Query) -> None:
        """Read names, conditions and a request, which :meth:`answer` then finds read. It may take
        long, and another thread than the engine's calls it.

        :raises LightrecError: where something cannot be read.
        """
        self.catalog.find(query.history)
        self.catalog.allowed(query.exclude, query.only, None)

    @abstractmethod
    def answer(self, queries: Sequence[Query]) -> list[Ranked | LightrecError]:
        """Answer queries; what is wrong with one does not touch the others."""

    @abstractmethod
    def similar(self, number: int, query: Query) -> tuple[list[int], list[float]]:
        """The items most like an item, and how much: 1 is the highest.

        :param query: says to whom, and how many.
        """

    def best(self, scores: Tensor, k: int) -> tuple[list[int], list[float]]:
        """The items with the highest scores of those that may come at all, and these scores."""
        allowed, rules = self.catalog.allowed((), (), None), self.rules
        allowed = allowed if rules is None else allowed & rules.there
        scores = scores.masked_fill(~allowed[: len(scores)], -torch.inf)
        values, items = scores.topk(min(k, int((scores > -torch.inf).sum())))
        return items.tolist(), values.tolist()

    def explain(self, query: Query, item: str) -> dict[str, Any]:
        """The reasons at length why an item comes, see :func:`lightrec_audit.explain.explain`.

        :raises RecipeError: where that is not known, such as of an item put while serving.
        """
        raise RecipeError("Only a run can say at length why an item comes: serve the run itself.")

    def checked(self, item: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """An item's row as it is put, in words.

        :raises RecipeError: where it does not fit the catalog.
        """
        self.catalog.row(item, row)
        return dict(row)

    def prepare(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Check items, and look for what speaks for them: the costly part of putting them.

        :raises RecipeError: where one does not fit the catalog.
        """
        checked = [self.checked(item, row) for item, row in rows.items()]
        texts = [row.get(Column.TEXT) or row.get(Column.TITLE) or "" for row in checked]
        self.newcomers.speakers(texts)

    def put(self, item: str, row: Mapping[str, Any]) -> int:
        """Take in an item, which the next answer may hold; its number is returned.

        :raises RecipeError: where it does not fit the catalog.
        """
        number = self.catalog.put(item, self.checked(item, row))
        if number > self.catalog.size:
            _, title, text = self.catalog.describe(number)
            self.newcomers.put(number - self.catalog.size - 1, text or title)
        return number

    @property
    def rules(self) -> Standing | None:
        """The standing rules as they are at present; a change is logged."""
        standing = self.book.of(self.catalog.whole, self.catalog.kinds)
        mark = standing.mark if standing else ""
        if mark != self._mark:
            rules = str(standing.rules) if standing else "none"
            logger.info("rules", extra={"mark": mark, "rules": rules})
            self._mark = mark
        return standing

    def wanted(self, events: Sequence[tuple[str, str, int]], before: int) -> dict[str, Any]:
        """Fields of a query that say which items were wanted and which were not, by their worth.

        :param events: items, kinds and times, as in a query's ``done``.
        :param before: how many of the events are of earlier sessions: what was not wanted then may
            be wanted now.
        """
        worth = worth_of({kind for _, kind, _ in events}, self.worth, self.goal)
        good = [event for event in events if worth[event[1]] > 0]
        accepted, kinds, _ = zip(*good, strict=True) if good else ((), (), ())
        dismissed = tuple(item for item, kind, _ in events[before:] if worth[kind] < 0)
        every = {"done": tuple(events), "earlier": before}
        return {"accepted": accepted, "kinds": kinds, "dismissed": dismissed, **every}

    def events(self, query: Query) -> list[tuple[int, str | None]]:
        """The numbers of the items of a query's events, with the kinds that are known.

        :raises RecipeError: where an item of the history is not known.
        """
        pairs = zip_longest(query.accepted, query.kinds)
        stored = [(n, kind) for item, kind in pairs for n in self.catalog.numbers([item])]
        return [*((number, None) for number in self.catalog.find(query.history)), *stored]

    def stands_for(self, number: int) -> int:
        """The item that stands for one in histories: itself, or the nearest to a new one."""
        place = number - self.catalog.size - 1
        return number if place < 0 else int(self.newcomers.near[place, 0])

    def left(self, query: Query, ranked: Ranked) -> list[tuple[str, ...]]:
        """Name the items that a request and the rules left open at each place of its slate.

        What a person has had, and what stands at earlier places, are among them.

        :returns: for each place the ids; none where all items or more than :data:`MOST` were open.
        """
        allowed = self.catalog.allowed(query.exclude, query.only, query.candidates)
        allowed[self.catalog.numbers(query.shown)] = False
        places, rules = allowed.repeat(len(ranked.items), 1), self.rules
        if rules is not None and rules.mark == ranked.rules:
            places &= rules.left(ranked.items, ranked.pinned)
            places &= True if ranked.may is None else ranked.may

        @cache
        def named(place: bytes) -> tuple[str, ...]:
            numbers = np.frombuffer(place, bool).nonzero()[0].tolist()
            few = len(numbers) <= MOST and len(numbers) < len(place) - 1
            return tuple(self.catalog.describe(n)[0] for n in numbers) if few else ()

        return [named(place.numpy().tobytes()) for place in places]

    def barred(self, query: Query) -> list[int]:
        """The numbers of items that a session may not be shown again.

        As in training, where there is a goal its events alone make an item had.
        """
        every = query.discover or not self.goal
        had = [n for n, kind in self.events(query) if every or kind is None or kind in self.goal]
        dismissed = self.catalog.numbers([*query.dismissed, *query.shown])
        return dismissed if self.repeats and not query.discover else dismissed + had
