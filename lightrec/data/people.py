"""Whom a list is for: a user of the log, somebody with a history or a profile, or everybody."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data import filters
from lightrec.data.attributes import user_features
from lightrec.data.names import Names
from lightrec.data.selection import several
from lightrec.data.sequences import Rows, Sequences, padded
from lightrec.data.store import TEST, EventStore
from lightrec.errors import RecipeError, no_such
from lightrec.keys import Key


class Person(NamedTuple):
    """Whom a list is for."""

    known: dict[str, Tensor]
    """``Key.HISTORY`` (1, L) and what else is known of its events, ``Key.SEEN`` (1, S)."""
    row: pl.DataFrame
    """The row of the user table; null where nothing is known."""


class People:
    """What a store, and whoever asks, knows of people.

    :param store: of a run.
    """

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.rows = {user: row for row, user in enumerate(store.user_ids)}

    @cached_property
    def names(self) -> Names:
        """The items by their names."""
        return Names.of(self.store)

    @cached_property
    def whole(self) -> tuple[Sequences, Rows]:
        """Whole histories, and where they end."""
        log = Sequences.chosen(self.store)
        return log, log.offsets[1:]

    def before_test(self) -> tuple[Sequences, Rows]:
        """Histories as the held-out events are judged from, and where they end: (U,)."""
        log = Sequences.all_events(self.store)
        tested = Sequences.targets(self.store, TEST)
        ends = log.offsets[1:].copy()
        np.minimum.at(ends, tested.users, tested.ends)
        return log, ends

    def person(
        self,
        user: str | int | None = None,
        history: str | Sequence[str] | None = None,
        profile: Mapping[str, object] | None = None,
    ) -> Person:
        """Look up one person; see :meth:`lightrec.recommend.Recommender.recommend`.

        :raises RecipeError: where the user, a title, an attribute or its value is not known.
        """
        if user is not None and profile is not None:
            raise RecipeError("A user of the log has a profile there: give one or the other.")
        given = [row + 1 for row in self.names.find_all(several(history or ()))]
        if user is None:
            items = torch.tensor([given], dtype=torch.long)
            known = {Key.HISTORY: items, Key.SEEN: items * (not self.store.repeats)}
            row = self._row(profile or {})
            if profile:
                known[Key.PROFILE] = user_features(self.store)[0](row)
            return Person(known, row)
        if (number := self.rows.get(str(user))) is None:
            raise RecipeError(
                f"There is no user {user!r} in {self.store.folder}.{self.names.left_out} "
                "For a person who is not in the log, give a history of titles or a profile."
            )
        known = self._with_more(self.events([number], *self.whole), given)
        return Person(known, self.store.users[[number]])

    def events(self, rows: Sequence[int] | Rows, log: Sequences, ends: Rows) -> dict[str, Tensor]:
        """Give users' histories, (B, L), with what else is known of their events."""
        users = np.asarray(rows)
        begins = log.offsets[users]
        found = log.details(begins, ends[users])
        found |= {Key.HISTORY: padded(log.items, begins, ends[users]), Key.USER: users}
        found[Key.SEEN] = log.known(begins, ends[users])
        return {name: torch.from_numpy(table) for name, table in found.items()}

    def met(self, known: Mapping[str, Tensor]) -> Tensor:
        """Give all items of histories, (B, L), also those that may come again; 0 for no item."""
        history = known[Key.HISTORY]
        return history * (history <= self.store.num_items)

    def _row(self, profile: Mapping[str, object]) -> pl.DataFrame:
        """Give the row of a user table for a person of whom nothing but a profile is known."""
        people = self.store.users
        person = people.clear(1)
        kinds = self.store.user_kinds
        for name, value in profile.items():
            if name not in kinds:
                raise RecipeError(no_such("an attribute of the users", name, kinds))
            given = filters.as_value(people[name], kinds[name], value)
            person = person.with_columns(pl.Series(name, [given], people.schema[name]))
        return person

    def _with_more(self, known: dict[str, Tensor], items: Sequence[int]) -> dict[str, Tensor]:
        """Append items to a user's history (1, L); nothing else is known of these events."""
        if not items:
            return known
        more = torch.tensor([items], dtype=torch.long)
        added = {Key.HISTORY: more, Key.SEEN: more * (not self.store.repeats)}
        return {
            name: table
            if name == Key.USER
            else torch.cat([table, added.get(name, torch.zeros_like(more))], dim=1)
            for name, table in known.items()
        }
