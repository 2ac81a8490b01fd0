"""An exported blend that answers: as the run does that it was exported from."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import torch
from lightrec_export.exported import Exported
from lightrec_rules.rules import RuleBook
from torch import Tensor

from lightrec.data.names import Names
from lightrec.data.people import Person, with_events
from lightrec.errors import RecipeError, RunError
from lightrec.keys import Column, Key
from lightrec.ranking.ranker import likeness
from lightrec_serve.catalog import Catalog
from lightrec_serve.engine import Engine, Newcomers, Query
from lightrec_serve.run_engine import RunEngine

NO_WISHES = "An export knows no wishes, profiles and other ways to rank: serve the run itself."


class ExportedBlend:
    """What an exported blend knows, asked as a :class:`~lightrec.recommend.Recommender` is."""

    by, reason = "blend", "It was exported."

    def __init__(self, held: Exported) -> None:
        if held.blend is None:
            raise RunError(f"{held.folder} has two towers and no blend.")
        self.held, self.blend, self.ranked_by = held, held.blend, "blend"
        self.names, self.people = Names(held.catalog), self
        self.known = held.people()
        self.rows = {user: row for row, user in enumerate(self.known)}
        self.outside = SimpleNamespace(rows={})
        self.popularity = SimpleNamespace(counts=held.popular)

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
            known = self.known[user]
        given = [row + 1 for row in self.names.find_all(list(history or ()))]
        known = with_events(known, given, kinds, held.feedback_kinds, held.goal, held.repeats)
        return Person(known, pl.DataFrame({Column.USER: [user]}, {Column.USER: pl.String}))

    @torch.inference_mode()
    def scores(self, person: Person, ask: str | None = None) -> Tensor:
        """Score all items; see :meth:`lightrec.recommend.Recommender.scores`."""
        if ask is not None:
            raise RecipeError(NO_WISHES)
        known, history = person.known, person.known[Key.HISTORY]
        user, alike = known.get(Key.USER), self.held.attributes
        if history.any():
            self.ranked_by = "blend"
            return self.blend.scores(history, user, details=known)
        if alike is not None and (user is not None or Key.PROFILE in known):
            self.ranked_by = "attributes"
            return alike.scores(history, user, details=known)
        self.ranked_by = "popularity"
        return self.popularity.counts.clamp_min(0).log1p()[None]


class BlendEngine(RunEngine):
    """A folder to which `lightrec export` wrote a blend. Neither lightning nor torchrl is imported.

    People are known by what the export holds of them, and by what the store has of them.

    :param path: the folder.
    :param temperature: of drawn slates.
    :raises RunError: where a file is not the one that was exported.
    """

    def __init__(self, path: Path, temperature: float = 1.0) -> None:
        self.path, self.temperature = path, temperature
        self.exported = held = Exported(path)
        own: Any = ExportedBlend(held)
        self.usual, self.repeats, self.note = own, held.repeats, held.note
        self.worth, self.goal = held.worth, held.goal
        self.feedback_kinds, self.log_users = held.feedback_kinds, [*own.known]
        self.catalog = Catalog(held.catalog, held.kinds, own.names)
        self.book = RuleBook(path, lambda name: self.catalog.find([name])[0])
        texts = held.catalog[Column.TEXT].fill_null("").to_list()
        vectors = torch.zeros(len(held.events), 0)
        self.newcomers = Newcomers(texts, vectors, None, held.events > 0)
        self.answer([Query(k=1)])  # so that the first person does not wait

    def about(self) -> dict[str, Any]:
        """Name the export and what it was made from."""
        return self.exported.about | {"items": len(self.catalog), "users": len(self.log_users)}

    # An export knows each person by one id, and no more of items than what is put.
    known_as, explain, checked = Engine.known_as, Engine.explain, Engine.checked

    def recommender(self, by: str | None) -> Any:
        """Give what ranks; there is one way.

        :raises RecipeError: where another one is asked for.
        """
        if by not in (None, "blend"):
            raise RecipeError(NO_WISHES)
        return self.usual

    def similar(self, number: int, k: int) -> tuple[list[int], list[float]]:
        """Give the items that are chosen near an item and whose texts are like its."""
        if number > self.catalog.size:
            return super().similar(number, k)
        alike = likeness(self.usual.blend.ranker, self.exported.events, number)
        alike[[*self.catalog.gone]] = -torch.inf
        scores, items = alike.topk(min(k, self.catalog.size - len(self.catalog.gone) - 1))
        return items.tolist(), scores.tolist()

    def _eligible(self, person: pl.DataFrame, time: datetime | None) -> Tensor:
        """Everything may be shown to everybody: other fields are not exported."""
        return torch.ones(len(self.catalog) + 1, dtype=torch.bool)
