"""Exports that answer: two towers by an index, many queries at once, and blends as runs do."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import polars as pl
import torch
from lightrec_export.exported import Exported
from lightrec_export.index import Flat, top
from lightrec_rules.rules import RuleBook, Standing
from torch import Tensor
from torch.nn.functional import normalize, pad
from torch.nn.utils.rnn import pad_sequence

from lightrec.api import PADDING, Column, Key, RecipeError
from lightrec.data.names import Names
from lightrec.data.people import Person, with_events
from lightrec.data.sequences import without_each
from lightrec.errors import LightrecError, RunError
from lightrec.list_ranking import ListRanking
from lightrec_serve.catalog import Catalog
from lightrec_serve.engine import Engine, Query, Ranked, Reason
from lightrec_serve.newcomers import Newcomers, placed
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.slates import LEFT_OUT, chosen, reasons

NO_WISHES = (
    "An export knows no requests in words, profiles and other ways to rank: serve the run itself."
)
logger = logging.getLogger("lightrec.serve")


class ExportedEngine(Engine):
    """A folder that `lightrec export` wrote, whatever it exported."""

    ranks = "export"
    """The name of what ranks those of whom something is known."""

    def __init__(self, path: Path, temperature: float) -> None:
        self.exported, self.temperature = Exported(path), temperature
        exported = self.exported
        self.repeats, self.note = exported.repeats, exported.note
        self.worth, self.goal = exported.worth, exported.goal
        self.catalog = Catalog(exported.catalog, exported.kinds, Names(exported.catalog))
        self.book = RuleBook(path, lambda name: self.catalog.find([name])[0])
        vectors, warm = exported.text_vectors, exported.events > 0
        self.newcomers = Newcomers(self.catalog.items, vectors, exported.encode, warm)

    def about(self) -> dict[str, Any]:
        """Name the export, what it was made from, and what ranks."""
        counts = {"items": len(self.catalog), "users": len(self.log_users)}
        return self.exported.about | counts | {"by": self.ranks, "goal": [*self.goal]}


class ExportEngine(ExportedEngine):
    """A folder with two towers. Neither lightning nor torchrl is imported.

    People are known by the histories of the log, where the export holds them, and by what the
    store has of them. Fields that say what may be shown to whom are served from their runs.

    :param path: the folder.
    :param temperature: of drawn slates.
    :raises RunError: where a file is not the one that was exported.
    """

    def __init__(self, path: Path, temperature: float = 1.0) -> None:
        super().__init__(path, temperature)
        self._past = self.exported.histories()
        self.log_users = [*self._past]
        self.index = Flat(self.exported.table, self.exported.bias)
        self.live = torch.zeros(0, self.index.table.shape[1] + 1)
        """(L, D + 1) the rows of items that were put while serving, and their biases."""
        self.answer([Query(k=1)])  # so that the first person does not wait

    def answer(self, queries: Sequence[Query]) -> list[Ranked | LightrecError]:
        """Answer queries together."""
        began, read = perf_counter(), list[_Read | LightrecError]()
        for query in queries:
            try:
                read.append(self._read(query))
            except LightrecError as error:
                read.append(error)
        ready = [one for one in read if isinstance(one, _Read)]
        ranked = iter(self._ranked(ready, began) if ready else ())
        return [next(ranked) if isinstance(one, _Read) else one for one in read]

    def _ranked(self, queries: Sequence["_Read"], began: float) -> list[Ranked]:
        read = perf_counter()
        histories = padded([one.history for one in queries], self.exported.history_length)
        vectors = self.exported.queries(histories)
        towered, rules = perf_counter(), self.rules
        whole = [rules is not None or one.query.draw or one.query.new > 0 for one in queries]
        plain = [row for row, scored in enumerate(whole) if not scored]
        searched = iter(self._search(vectors[plain], [queries[row] for row in plain]))
        ranked = [
            self._draw(vectors[[row]], one, rules) if whole[row] else next(searched)
            for row, one in enumerate(queries)
        ]
        for one, slate in zip(queries, ranked, strict=True):
            if one.query.explain and one.history:
                slate.why = self._why(one, slate.items)
        done = perf_counter()
        spent = {"read": read - began, "tower": towered - read, "search": done - towered}
        for slate in ranked:  # each has its share
            slate.seconds = {part: seconds / len(queries) for part, seconds in spent.items()}
        return ranked

    def similar(self, number: int, query: Query) -> tuple[list[int], list[float]]:
        """The items whose rows point into the direction of an item's."""
        known = self.index.table
        units = normalize(torch.cat([known, self.live[:, :-1]]) - known[1:].mean(0), dim=1)
        cosines = units @ units[number]
        cosines[number] = -torch.inf
        return self.best(cosines, query.k)

    def put(self, item: str, row: Mapping[str, Any]) -> int:
        """Take in an item: its row is the mean of the rows of items whose texts are near."""
        number = super().put(item, row)
        if (place := number - self.catalog.size - 1) >= 0:
            near, loud = self.newcomers.near[place], self.newcomers.loud[place]
            rows = torch.cat([self.index.table[near], self.index.bias[near, None]], 1)
            self.live = placed(self.live, place, loud @ rows)
        return number

    def _read(self, query: Query) -> "_Read":
        """Read a query.

        :raises RecipeError: where it asks for what an export cannot do, or names what there is not.
        """
        if query.ask is not None or query.profile is not None or query.by is not None:
            raise RecipeError(
                "An export has one way to rank, by histories: leave out ask, profile and by, or "
                "serve the run itself."
            )
        past = self._past.get(query.user, ()) if query.user is not None else ()
        items = [number for number, _ in self.events(query)]
        named, stored = items[: len(query.history)], items[len(query.history) :]
        if not self.repeats:  # what was stored of the person may be of the log as well
            stored = [number for number in stored if number not in past]
        history = [*past, *map(self.stands_for, [*named, *stored])]
        barred = self.barred(query)
        if query.discover or not self.repeats:
            barred += past
        allowed = None
        if query.only or query.exclude or query.candidates is not None or self.catalog.gone:
            allowed = self.catalog.allowed(query.exclude, query.only, query.candidates)
        return _Read(query, history, barred, allowed)

    def _search(self, vectors: Tensor, queries: Sequence["_Read"]) -> list[Ranked]:
        if not queries:
            return []
        allowed, known = None, len(self.index.bias)
        if any(one.allowed is not None for one in queries):
            every = torch.ones(len(self.catalog) + 1, dtype=torch.bool)
            each = [every if one.allowed is None else one.allowed for one in queries]
            allowed = torch.stack(each)
        seen = padded([one.barred for one in queries], None)
        k = min(max(one.query.k for one in queries), len(self.catalog))
        may = None if allowed is None else allowed[:, :known]
        items, scores = self.index.search(vectors, k, may, seen.masked_fill(seen >= known, PADDING))
        if len(self.live):
            fresh = self._fresh(vectors)
            if allowed is not None:
                fresh.masked_fill_(~allowed[:, known:], -torch.inf)
            fresh = pad(fresh, (1, 0), value=-torch.inf)  # one column more, for all other items
            fresh.scatter_(1, (seen - known + 1).clamp_min(0), -torch.inf)
            new = torch.arange(known - 1, known + len(self.live)).expand(len(fresh), -1)
            items, scores = top(torch.cat([scores, fresh], 1), k, torch.cat([items, new], 1))
        ranked = []
        for one, numbers, its in zip(queries, items.tolist(), scores.tolist(), strict=True):
            numbers = [item for item in numbers[: one.query.k] if item]
            ranked.append(Ranked(numbers, its[: len(numbers)], one.by, [1.0] * len(numbers)))
        return ranked

    def _fresh(self, vectors: Tensor) -> Tensor:
        """Scores (B, L) of the items that were put while serving."""
        return pad(vectors, (0, 1), value=1.0) @ self.live.T

    def _logits(self, vectors: Tensor, one: "_Read") -> Tensor:
        """Scores (B, N + L + 1) of what a query allows."""
        known = vectors @ self.index.table.T + self.index.bias
        logits = torch.cat([known, self._fresh(vectors)], 1)
        return logits if one.allowed is None else logits.masked_fill(~one.allowed, -torch.inf)

    def _why(self, one: "_Read", items: list[int]) -> list[list[Reason]]:
        """Ask what each event did: query without it."""
        history = padded([one.history], self.exported.history_length)
        events, known = without_each({Key.HISTORY: history}, LEFT_OUT)
        logits = self._logits(self.exported.queries(known[Key.HISTORY]), one)
        return reasons(events, logits.log_softmax(-1)[:, items])

    def _draw(self, vector: Tensor, one: "_Read", rules: Standing | None) -> Ranked:
        logits = self._logits(vector, one)[0]
        logits[one.barred] = -torch.inf
        if rules is not None:
            logits = (logits + rules.boost).masked_fill(~rules.there, -torch.inf)
        recent = torch.arange(len(logits)) > self.catalog.size
        return chosen(logits, recent, one.query, self.temperature, one.by, rules)


@dataclass(frozen=True)
class _Read:
    """A query whose names are known."""

    query: Query
    history: list[int]
    barred: list[int]
    allowed: Tensor | None
    """(N + L + 1,) bool; None where everything is allowed."""

    @property
    def by(self) -> str:
        """The name of what ranks."""
        return "export" if self.history else "popularity"


def padded(rows: Sequence[Sequence[int]], length: int | None) -> Tensor:
    """Make a table (B, L) int64 of lists, padded on the left, of their last items."""
    last = [items if length is None else items[-length:] for items in rows]
    tensors = [torch.tensor(items or [PADDING]) for items in last]
    return pad_sequence(tensors, batch_first=True, padding_side="left")


class ExportedBlend(ListRanking):
    """An exported blend, to be used as a :class:`~lightrec.recommend.Recommender` is."""

    def __init__(self, exported: Exported, names: Names) -> None:
        if exported.blend is None:
            raise RunError(f"{exported.folder} has two towers and no blend.")
        popular = SimpleNamespace(counts=exported.popular)
        run: Any = SimpleNamespace(popularity=popular, demographic=exported.attributes)
        self.ranker: Any = SimpleNamespace(scorer=exported.blend)
        self.held, self.run, self.blend, self.by = exported, run, exported.blend, "blend"
        self.names, self.counts, self.people = names, exported.events, self
        self.rows = exported.people()
        """Tensors of each person, by their ids: what :class:`Person` knows."""
        self.outside = SimpleNamespace(rows={})

    def wished(self, *_: object) -> tuple[Tensor, float]:
        """Refuse a request in words."""
        raise RecipeError(NO_WISHES)

    def person(
        self,
        user: str | None = None,
        history: Sequence[str] | None = None,
        profile: Mapping[str, object] | None = None,
        kinds: Sequence[str | None] = (),
    ) -> Person:
        """Look up one person; see :meth:`lightrec.data.people.People.person`."""
        if profile is not None:
            raise RecipeError(NO_WISHES)
        nothing, held = torch.zeros(1, 0, dtype=torch.long), self.held
        known = {Key.HISTORY: nothing, Key.SEEN: nothing}
        if user is not None:
            known = self.rows[user]
        items = [row + 1 for row in self.names.find_all(list(history or ()))]
        known = with_events(known, items, kinds, held.feedback_kinds, held.goal, held.repeats)
        return Person(known, pl.DataFrame({Column.USER: [user]}, {Column.USER: pl.String}))


class BlendEngine(ExportedEngine, RunEngine):
    """A folder with a blend, answering as its run does. Neither lightning nor torchrl is imported.

    People are known by what the export holds of them, and by what the store has of them.

    :param path: the folder.
    :param temperature: of drawn slates.
    :raises RunError: where a file is not the one that was exported.
    """

    def __init__(self, path: Path, temperature: float = 1.0) -> None:
        super().__init__(path, temperature)
        blend: Any = ExportedBlend(self.exported, self.catalog.names)
        self.usual, self.feedback_kinds = blend, self.exported.feedback_kinds
        self.log_users = [*blend.rows]
        self.answer([Query(k=1)])  # so that the first person does not wait

    ranks = "blend"
    # An export knows each person by one id, and no more of items than what is put.
    known_as, explain, checked = Engine.known_as, Engine.explain, Engine.checked
    ready, read = Engine.ready, Engine.read
    check_profile, past = Engine.check_profile, Engine.past

    def recommender(self, by: str | None) -> Any:
        """The only way to rank.

        :raises RecipeError: where another one is asked for.
        """
        if by not in (None, "blend"):
            raise RecipeError(NO_WISHES)
        return self.usual

    def _eligible(self, person: Person, query: Query) -> Tensor:
        """Everything may be shown to everybody: other fields are not exported."""
        return torch.ones(len(self.catalog) + 1, dtype=torch.bool)
