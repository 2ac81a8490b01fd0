"""Whom a list is for: a user of the log, somebody with a history or a profile, or everybody."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data import filters
from lightrec.data.attributes import Features, user_features
from lightrec.data.domain import Domain, domain_of
from lightrec.data.names import Names, several
from lightrec.data.sequences import Positions, Sequences, padded
from lightrec.data.store import TEST, EventStore
from lightrec.data.types import Kind
from lightrec.errors import RecipeError, no_such
from lightrec.keys import Column, Key

if TYPE_CHECKING:
    from lightrec.data.outside import Outside


class Person(NamedTuple):
    """Whom a list is for."""

    known: dict[str, Tensor]
    """``Key.HISTORY`` (1, L) and what else is known of its events, ``Key.SEEN`` (1, S); where the
    domain reads what people did, ``Key.TIME`` and ``Key.SO_FAR`` as well."""
    row: pl.DataFrame
    """The row of the user table; null where nothing is known."""


class People:
    """Knowledge of people, from a store and from whoever asks.

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
    def whose(self) -> dict[str, str]:
        """Whose each id is that is another person's, by the user table."""
        from lightrec.data.outside import users_read

        return users_read(self.store)[1]

    def known_as(self, user: str | int) -> str:
        """The id by which a person is known, for any of their ids."""
        name = str(user)
        return name if name in self.rows else self.whose.get(name, name)

    @cached_property
    def whole(self) -> tuple[Sequences, Positions]:
        """Whole histories, and where they end."""
        log = Sequences.chosen(self.store)
        return log, log.offsets[1:]

    @cached_property
    def outside(self) -> "Outside":
        """People who have no place in the store."""
        from lightrec.data.outside import Outside

        return Outside.of(self.store)

    @cached_property
    def _domain(self) -> Domain:
        return domain_of(self.store)

    @cached_property
    def _features(self) -> Features:
        return user_features(self.store)[0]

    @property
    def attributes(self) -> tuple[pl.DataFrame, dict[str, Kind]]:
        """The user table, and the kinds of the columns of which conditions may ask."""
        return self.store.users, {Column.USER: "code", **self.store.user_kinds}

    def person(
        self,
        user: str | int | None = None,
        history: str | Sequence[str] | None = None,
        profile: Mapping[str, object] | None = None,
        kinds: Sequence[str | None] = (),
    ) -> Person:
        """Look up one person; see :meth:`lightrec.recommend.Recommender.recommend`.

        :param kinds: of the feedback of the history's events, where they are known. As in training,
            where the log has a goal, an event of another kind makes no item seen.
        :raises RecipeError: where the user, a title, an attribute or its value is not known.
        """
        name = None if user is None else self.known_as(user)
        row = None if name is None else self.rows.get(name)
        given = [row + 1 for row in self.names.find_all(several(history or ()))]
        if user is None:
            nothing = torch.zeros(1, 0, dtype=torch.long)
            known = {Key.HISTORY: nothing, Key.SEEN: nothing}
            table = self._row(profile or {})
            if profile:
                known[Key.PROFILE] = self._features(table)
        elif row is not None:
            log, ends = self.whole
            known = self.events([row], log, ends[[row]])
            table = self._row(profile or {}, self.store.users[[row]])
        elif name is not None and (row := self.outside.rows.get(name)) is not None:
            known, table = self._outsiders([row], profile=profile)
        else:
            raise RecipeError(
                f"There is no user {user!r} in the log and the user table of {self.store.folder}. "
                "For somebody else, give a history of titles or a profile."
            )
        said = kinds, self.store.feedback_kinds, self.store.goal, self.store.repeats
        known = with_events(known, given, *said)
        if self._domain.by_history:
            known[Key.SO_FAR] = torch.tensor([len(given)])
        return Person(known, table)

    def times(self, user: str) -> list[int]:
        """The milliseconds since 1970 UTC of a user's events, oldest first."""
        user = self.known_as(user)
        outside = user not in self.rows
        log = self.outside.log if outside else self.whole[0]
        row = (self.outside.rows if outside else self.rows)[user]
        times: list[int] = log.times[log.offsets[row] : log.offsets[row + 1]].tolist()
        return times

    def everybody(
        self, size: int, before_test: bool = False
    ) -> Iterator[tuple[pl.DataFrame, dict[str, Tensor], Positions, Any]]:
        """Go through all people in batches of whom the same is known.

        :param before_test: only those of the store, with what came before their test events.
        :returns: an iterator over rows of the user table (B), what is known of these people, how
            many events it holds, (B,), and their test events' times, or last ones', or None.
        """
        log, ends = self.whole
        if before_test:  # histories as the held-out events are judged from
            log, tested = Sequences.all_events(self.store), Sequences.targets(self.store, TEST)
            ends = log.offsets[1:].copy()
            np.minimum.at(ends, tested.users, tested.ends)
        for _, rows in _batches(np.zeros(self.store.num_users), [0], size):
            known = self.events(rows, log, ends[rows])
            times = log.times[np.minimum(ends, log.offsets[1:] - 1)[rows]] if before_test else None
            yield self.store.users[rows], known, ends[rows] - log.offsets[rows], times
        if before_test:
            return
        counts, described = np.diff(self.outside.log.offsets), self.outside.described
        for _, rows in _batches(2 * (counts > 0) + described, (3, 2, 1, 0), size):
            known, table = self._outsiders(rows)
            yield table, known, counts[rows], None

    def before(
        self, users: Sequence[str], times: Positions, size: int
    ) -> Iterator[tuple[Positions, pl.DataFrame, dict[str, Tensor]]]:
        """Go through people at moments, in batches of whom the same is known.

        :param users: R ids; of somebody who is in no table nothing is known.
        :param times: (R,) milliseconds since 1970 UTC; only the events before them are known.
        :returns: an iterator over places among the R, (B,), rows of the user table (B), and what is
            known of these people.
        """
        users = [self.known_as(user) for user in users]
        inside = np.array([self.rows.get(user, -1) for user in users])
        others = {} if (inside >= 0).all() else self.outside.rows
        outside = np.array([others.get(user, -1) for user in users])
        kinds = np.where(inside >= 0, 3, 0)
        if (outside >= 0).any():
            kinds[outside >= 0] = 1 + self.outside.described[outside[outside >= 0]]
        for kind, places in _batches(kinds, range(4), size):
            if kind == 3:
                rows, log = inside[places], self.whole[0]
                table = self.store.users[rows]
                known = self.events(rows, log, log.until(rows, times[places]))
            elif kind:
                known, table = self._outsiders(outside[places], times=times[places])
            else:
                nothing = torch.zeros(len(places), 1, dtype=torch.long)
                known = {Key.HISTORY: nothing, Key.SEEN: nothing}
                table = pl.concat([self._row({})] * len(places))
            yield places, table, known

    def _outsiders(
        self,
        rows: Sequence[int] | Positions,
        profile: Mapping[str, object] | None = None,
        times: Positions | None = None,
    ) -> tuple[dict[str, Tensor], pl.DataFrame]:
        """Look up people who have no place in the store; of all or none there are attributes."""
        log, table, users = self.outside.log, self.outside.users[rows], np.asarray(rows)
        ends = log.offsets[users + 1] if times is None else log.until(users, times)
        known = self.events(rows, log, ends)
        del known[Key.USER]
        table = table if profile is None else self._row(profile, table)
        if profile or self.outside.described[rows].all():
            known[Key.PROFILE] = self._features(table)
        return known, table

    def events(
        self, rows: Sequence[int] | Positions, log: Sequences, ends: Positions
    ) -> dict[str, Tensor]:
        """Users' histories until their ends (B,): (B, L), with what else is known of them."""
        users = np.asarray(rows)
        begins = log.offsets[users]
        known = log.details(begins, ends)
        known |= {Key.HISTORY: padded(log.items, begins, ends), Key.USER: users}
        if self._domain.by_history:
            known[Key.TIME] = padded(log.times, begins, ends)
        known[Key.SEEN] = log.known(begins, ends)
        return {name: torch.from_numpy(table) for name, table in known.items()}

    def chosen(self, known: Mapping[str, Tensor]) -> Tensor:
        """All items of histories, (B, L), also those that may come again; 0 for no item."""
        history = known[Key.HISTORY]
        return history * (history <= self.store.num_items)

    def _row(
        self, profile: Mapping[str, object], person: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """The row of a user table for a person, of whom nothing else is known or what a row says.

        A value of null takes away what the row says.
        """
        people, kinds = self.store.users, self.store.user_kinds
        person = people.clear(1) if person is None else person
        for name, value in profile.items():
            if name not in kinds:
                raise RecipeError(no_such("an attribute of the users", name, kinds))
            there = people[name]
            if more := self._domain.words_of(name, self.store.catalog):
                there = there.explode() if isinstance(there.dtype, pl.List) else there
                there = pl.Series(name, [*there.cast(pl.String), *more])
            given = None if value is None else filters.as_value(there, kinds[name], value)
            person = person.with_columns(pl.Series(name, [given], people.schema[name]))
        return person


def _batches(
    kinds: NDArray[Any], order: Sequence[int], size: int
) -> Iterator[tuple[int, Positions]]:
    """Places of a kind, and of one after the other, with the kind; at most ``size`` at a time."""
    for kind in order:
        places = np.flatnonzero(kinds == kind)
        for start in range(0, len(places), size):
            yield kind, places[start : start + size]


def with_events(
    known: Mapping[str, Tensor],
    items: Sequence[int],
    kinds: Sequence[str | None],
    named: Sequence[str],
    goal: Collection[str],
    repeats: bool,
) -> dict[str, Tensor]:
    """Append items to a history (1, L); but for their kinds, nothing is known of the events.

    :param kinds: of the items' events, where they are known.
    :param named: the log's kinds of feedback, in the order of their numbers.
    :param goal: those that are to be brought about, and ``repeats`` whether an item may come again:
        what makes an item seen.
    """
    if not items:
        return dict(known)
    more = torch.tensor([items], dtype=torch.long)
    had = [not goal or kind is None or kind in goal for kind in kinds or [None] * len(items)]
    added = {Key.HISTORY: more, Key.SEEN: more * torch.tensor([had]) * (not repeats)}
    if named and any(kinds):
        numbers = [named.index(kind) + 1 if kind in named else 0 for kind in kinds]
        added[Key.FEEDBACK] = torch.tensor([numbers])
        known = {Key.FEEDBACK: torch.zeros_like(known[Key.HISTORY]), **known}
    return {
        name: table
        if name in (Key.USER, Key.PROFILE, Key.SO_FAR)
        else torch.cat([table, added.get(name, torch.zeros_like(more))], dim=1)
        for name, table in known.items()
    }
