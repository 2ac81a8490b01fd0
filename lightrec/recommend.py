"""Recommending with a finished run: for a known person, a new one, or everybody."""

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.data.domain import eligible
from lightrec.data.names import Names, Selection
from lightrec.data.people import People, Person
from lightrec.data.times import moment
from lightrec.encoders.base import off_disk
from lightrec.errors import RecipeError
from lightrec.evaluation.evidence import Favoured, favoured_by
from lightrec.evaluation.rankers import ranker_of
from lightrec.keys import PADDING, Column, Key
from lightrec.list_ranking import ListRanking
from lightrec.ranking.lists import places_for_new, with_reserved_places
from lightrec.ranking.scorers import Standing
from lightrec.run import Run


class Recommender(ListRanking):
    """The results of a run, ready to use.

    :param run: a run folder such as ``runs/video``.
    :param by: rank by the ``policy`` (the long run), the ``blend`` (the next event), the
        ``mixture`` of the blend with user model A's utilities, the ``even-mixture`` of its
        transformer with these, that ``ranker`` alone, or what a package adds by the hook
        ``lightrec_rankers``; None takes what the run's evaluation favours, and ``reason`` says why.
    :raises RunError: where the run lacks that stage, or its stages do not belong together.
    :raises PluginError: where nothing installed ranks by that name, or where the log's domain
        forbids items and is not installed.
    """

    @blaming(None, "recommend items of the run")
    def __init__(self, run: str | Path, by: str | None = None) -> None:
        opened = Run(run)
        opened.hold()  # much of it is read at the first request for it
        chosen = Favoured(by, "It was asked for.") if by else favoured_by(opened)
        # What a request says of all items is read once for all batches of users.
        wished = lru_cache(64)(off_disk()(lambda *wish: opened.wishes.scores(*wish)))
        super().__init__(opened, chosen.by, wished)
        self.reason = f"{chosen.reason} {self.ranker.about}".strip()
        self.store = self.run.data
        _ = self.run.domain  # refused here where it is not installed
        title = pl.col(Column.TITLE).fill_null(pl.col(Column.ITEM))
        self.catalog = self.store.catalog.with_columns(title)
        self.people = People(self.store)
        installed, here = plugins.installed(), (self.run.base / "rules.yaml").is_file()
        self.book: Any = None
        """Reads the run's standing rules; None where no installed package does."""
        if here or "rules" in installed.parts[plugins.LIST_PARTS]:  # else get says what is missing
            kind = installed.get(plugins.LIST_PARTS, "rules").load()
            self.book = kind(self.run.base, self.item, self.people.attributes)
        self.person = self.people.person
        """Looks up whom a list is for; see :meth:`lightrec.data.people.People.person`."""

    @blaming(None, "recommend items of the run")
    def recommend(
        self,
        user: str | int | None = None,
        *,
        history: str | Sequence[str] | None = None,
        profile: Mapping[str, object] | None = None,
        ask: str | None = None,
        k: int = 10,
        exclude: str | Sequence[str] = (),
        only: str | Sequence[str] = (),
        discover: bool = False,
        new: int = 0,
        explore: float = 0.0,
        seed: int = 0,
        time: datetime | str | None = None,
    ) -> pl.DataFrame:
        """Recommend to one person what they have not seen, or anything where items repeat.

        What the log's domain forbids is never recommended, be the list shorter or empty; a sentence
        on the error output says why a list is empty.

        :param user: a user id of the log or of the user table. Of one with too few events to be
            learned from (k-core), what is known counts: events, or else attributes.
        :param history: titles or item ids, oldest first, see :mod:`lightrec.data.names`: of
            somebody who is not in the log, or with a user what came after their events in it.
            Where it is empty and there is no profile, recently popular items are recommended that
            differ from each other.
        :param profile: values of the user table's attributes, which the domain is asked about. Of
            a user they come in place of what the table says; of somebody else all others are null.
            Without a history, items are ranked by what people with such attributes choose, where
            the run has an item model ``Demographic``.
        :param ask: a request in words, such as ``slow crime story``, which the
            package lightrec-rules reads. It is weighed against what the blend says of the
            history or, without one, against popularity or what people with such attributes choose.
        :param exclude: titles, item ids or conditions such as ``genres=Horror and year<1990``, see
            :mod:`lightrec.data.filters`, one or several, as is ``only``. These, ``k``,
            ``discover``, ``new``, ``explore`` and ``seed`` are options of ``lightrec recommend``.
        :param time: when the list is shown, by which the domain says what may be: ``now``, or a
            time, see :func:`lightrec.data.times.moment`; None for the time of the log's last event.
        :returns: ``rank``, ``item``, ``title``, ``score``, best first. Scores compare items of one
            list: the policy's or the blend's; without a history the share of people with such
            attributes, or the marginal relevance of :func:`~lightrec.ranking.lists.diversified`,
            0.5 for the most popular item.
        :raises RecipeError: where the user, a title, an attribute or its value is not known, k is
            below 1, or a time is given and the log has none.
        """
        if user is None and history is None and profile is None and ask is None:
            raise RecipeError("Give a user of the log, a history, a profile or a request.")
        k = self.length(k)
        known, person = self.person(user, history, profile)
        if discover:
            known[Key.SEEN] = self.people.chosen(known)
        rules = self.rules
        wanted, account = self.allowed(exclude, only, rules)
        allowed = self.may_see(Person(known, person), wanted, self.moment(time))
        placed = places_for_new(k, new, explore, seed)
        if ask is not None and (answering := self.run.wishes.answering(ask)) is not None:
            may = allowed.scatter(1, known[Key.SEEN], False)
            if answering.any() and not (answering & may).any():
                raise RecipeError(
                    f"No item that may come has a word of the request {ask!r}: what has one is "
                    "excluded, or was had before."
                )
        items, scores = self.best(known, allowed, k, placed, ask, rules, person)
        return self._table(items, scores, (allowed, wanted, account))[1]

    def recommend_all(
        self,
        *,
        ask: str | None = None,
        k: int = 10,
        exclude: str | Sequence[str] = (),
        only: str | Sequence[str] = (),
        discover: bool = False,
        new: int = 0,
        explore: float = 0.0,
        seed: int = 0,
        before: Literal["test"] | None = None,
        time: datetime | str | None = None,
        batch_size: int = 256,
    ) -> Iterator[pl.DataFrame]:
        """Recommend to every user of the log and of the user table, in batches; see
        :meth:`recommend`.

        :param before: ``test`` to recommend from what came before each user's first test event, at
            its time: lists that can be judged on those events, for users with enough events
            (k-core), without the run's standing rules; None to recommend from everything to all.
        :returns: an iterator over tables ``user``, ``rank``, ``item``, ``title``, ``score``,
            ``known_events``: how many of the user's events the list was made from, and
            ``ranked_by``: ``history``, or what ``ranked_by`` of
            :class:`~lightrec.list_ranking.ListRanking` names where there is none.
        """
        ranking = self if before is None else self._judged
        rules = self.rules if before is None else None
        allowed, _ = self.allowed(exclude, only, rules)
        k = self.length(k)
        placed, when = places_for_new(k, new, explore, seed), self.moment(time)
        for users, known, counts, times in self.people.everybody(batch_size, before is not None):
            if discover:
                known[Key.SEEN] = self.people.chosen(known)
            may = self.may_see(Person(known, users), allowed, when or times)
            best = ranking.best(known, may, k, placed, ask, rules, users)
            which, table = self._table(*best)
            by = "history" if known[Key.HISTORY].any() else ranking.ranked_by
            events = pl.Series(Column.KNOWN_EVENTS, counts[which])
            columns = events, pl.lit(by).alias(Column.RANKED_BY)
            yield table.select(users[Column.USER][which], pl.all(), *columns)

    def similar(
        self,
        item: str | int,
        *,
        k: int = 10,
        by: Literal["both", "words"] = "both",
        exclude: str | Sequence[str] = (),
        only: str | Sequence[str] = (),
        user: str | int | None = None,
        profile: Mapping[str, object] | None = None,
        time: datetime | str | None = None,
    ) -> pl.DataFrame:
        """List the items that are like an item; see :func:`~lightrec.ranking.ranker.likeness`.

        What the log's domain forbids the person never comes; of nobody in particular, nothing is
        known.

        :param item: a title or an item id.
        :param k: how many items at most, from 1; more than there are gives all that may come.
        :param by: what people choose near each other and the texts, or the ``words`` alone.
        :param exclude: as in :meth:`recommend`, and so are all that follow: to whom, and when.
        :returns: ``rank``, ``item``, ``title``, ``score``, the most alike first; 1 is the highest.
        :raises RecipeError: as :meth:`recommend`.
        :raises RunError: where words are asked for and the ranker reads none.
        """
        from lightrec.ranking.ranker import likeness

        k = self.length(k)
        alike = likeness(self.blend.ranker, self.counts, self.item(item), by)
        wanted, account = self.allowed(exclude, only, self.rules)
        allowed = self.may_see(self.person(user, None, profile), wanted, self.moment(time))
        scores = alike.masked_fill(~allowed, -torch.inf)
        items = with_reserved_places(scores, torch.full_like(scores, -torch.inf), k, 0)
        left = allowed, wanted, account
        return self._table(items, scores.gather(1, items), left)[1]

    def ranked_otherwise(self, by: str) -> "Recommender":
        """The same version of the run by another ranking, which shares all that is loaded.

        :param by: as of this class.
        :raises RunError: where the run lacks that stage.
        """
        other = copy.copy(self)
        vars(other).pop("_judged", None)
        other.by, other.ranker = by, ranker_of(self.run, by)
        other.reason = f"It was asked for. {other.ranker.about}".strip()
        return other

    def item(self, name: str | int) -> int:
        """Find an item by its id or its title, however it is written; see
        :mod:`lightrec.data.names`.

        :returns: its index, 1 to N.
        :raises RecipeError: where none or several fit.
        """
        return self.names.number(str(name))

    def length(self, k: int) -> int:
        """Length that a list of k items at most can have: k, or as many items as there are.

        :raises RecipeError: where k is no number of items.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise RecipeError(f"k is how many items come at most, 1 or more, and not {k!r}.")
        return min(int(k), self.store.num_items)

    def __repr__(self) -> str:
        size = f"users={self.store.num_users}, items={self.store.num_items}"
        return f"Recommender({str(self.run.path)!r}, by={self.by!r}, {size})"

    def _repr_html_(self) -> str:
        """Show three people in a notebook: what each would be shown, and why."""
        from lightrec.report import examples, page

        lists = page.part(examples.histories(self.run, seed=0))
        return f"{page.prose(f'`{self!r}`: {self.reason}')}\n{lists}"

    @cached_property
    def _judged(self) -> ListRanking:
        """The ranking that has not learned the held-out events, and may be judged by them."""
        _ = self.run.blend  # loaded before it is copied
        return ListRanking(self.run.judged, self.by, self.wished)

    @property
    @blaming(None, "read the run's standing rules")
    def rules(self) -> Standing | None:
        """The run's standing rules as they are at present; of the package lightrec-rules."""
        if self.book is None:
            return None
        rules: Standing | None = self.book.of(self.catalog, self.store.item_kinds)
        return rules

    @property
    def names(self) -> Names:
        """The items by their names."""
        return self.people.names

    def allowed(
        self, exclude: str | Sequence[str], only: str | Sequence[str], rules: Standing | None = None
    ) -> tuple[Tensor, str]:
        """Which items may come at all, (N + 1,) bool, and how many each condition leaves.

        :param rules: what they keep from coming does not come.
        :returns: these, and the begin of a sentence, empty where there is no condition.
        :raises RecipeError: where none may, with how many items each condition leaves.
        """
        wanted = Selection.parse(exclude, only, self.catalog, self.store.item_kinds, self.names)
        left, account = wanted.mask(self.catalog)
        allowed = torch.from_numpy(np.append(False, left.to_numpy()))
        if rules is not None and allowed.any():
            allowed &= rules.there
            account += f"{', ' * bool(account)}the standing rules leave {int(allowed.sum()):,}"
        if not allowed.any():
            raise RecipeError(f"Nothing is left to recommend: {account}.")
        return allowed, account

    def moment(self, time: datetime | str | None) -> datetime | None:
        """Read when a list is shown, as :meth:`recommend` takes it; None for none.

        :raises RecipeError: where it is no time, or the log has none to go by.
        """
        if time is not None and not self.store.has_times:
            raise RecipeError(
                f"The log of {self.run.path} has no times, so that nothing goes by when a list is "
                f"shown: leave out the time {str(time)!r}."
            )
        return None if time is None else moment(time)

    def may_see(self, people: Person, allowed: Tensor, time: datetime | None = None) -> Tensor:
        """Take from ``allowed`` (N + 1,) what the domain forbids people: ``(B, N + 1)`` bool.

        :param time: when they are to see it; None for the time of the log's last event.
        """
        mask = eligible(self.store, people.row, time, people.known)
        if mask is None:
            return allowed.expand(people.row.height, -1)
        return torch.from_numpy(mask) & allowed

    def _table(
        self, items: Tensor, scores: Tensor, left: tuple[Tensor, Tensor, str] | None = None
    ) -> tuple[list[int], pl.DataFrame]:
        """Lists ``(B, k)`` as rows of a table, and each row's place among the B.

        :param left: what one person may see, what was wanted, and in words how much: by these it is
            said why a list is empty.
        """
        if left is not None and not items.any():
            allowed, wanted, account = left
            why = f"the person has seen all that may be shown ({int(allowed.sum())})"
            if not allowed.any():
                count, domain = int(wanted.sum()), self.run.domain.name
                why = f"the domain {domain} allows this person none of the {count:,} items"
            print(f"The list is empty: {account}{'; ' if account else ''}{why}.", file=sys.stderr)
        which, places = (items != PADDING).nonzero(as_tuple=True)
        rank = pl.Series("rank", (places + 1).numpy())
        score = pl.Series("score", scores[which, places].tolist(), dtype=pl.Float64)
        chosen = self.catalog[(items[which, places] - 1).tolist()]
        return which.tolist(), chosen.select(rank, Column.ITEM, Column.TITLE, score)


load = Recommender
