"""Recommending with a finished run: for a known person, a new one, or everybody."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.domain import eligible
from lightrec.data.readers.predictions import KNOWN
from lightrec.data.sequences import Rows, Sequences, padded
from lightrec.data.store import TEST
from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.evidence import By, Favoured, favoured_by
from lightrec.keys import PADDING, Column, Key
from lightrec.policies.base import session_start
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.base import Evidence, Popularity, RecentPopularity
from lightrec.ranking.item_models.text_map import TextMap
from lightrec.ranking.lists import diversified, with_explored_places, with_reserved_places
from lightrec.run import Run

Before = Literal["test"]
Placed = Callable[[Tensor, Tensor], Tensor]


class Recommender:
    """What a run learned, ready to use.

    :param run: a run folder such as ``runs/video``.
    :param by: rank by the ``policy`` (the long run) or the ``blend`` (the next event); None
        takes the one that the run's evaluation favours, and ``reason`` says why.
    :raises RunError: where the run lacks that stage, or its stages do not belong together.
    :raises PluginError: where the log's domain forbids items and is not installed.
    """

    def __init__(self, run: str | Path, by: By | None = None) -> None:
        self.run = Run(run)
        chosen = Favoured(by, "It was asked for.") if by else favoured_by(self.run.path)
        self.by, self.reason = chosen.by, chosen.reason
        self.model = self.run.policy if self.by == "policy" else self.run.blend
        self.store = self.run.data
        _ = self.run.domain  # refused here where it is not installed
        catalog = self.store.catalog
        if Column.TITLE not in catalog.columns:
            catalog = catalog.with_columns(pl.col(Column.ITEM).alias(Column.TITLE))
        self.catalog = catalog.with_columns(pl.col(Column.TITLE).fill_null(pl.col(Column.ITEM)))
        self._rows = {user: row for row, user in enumerate(self.store.user_ids)}

    def recommend(
        self,
        user: str | int | None = None,
        *,
        history: Sequence[str] | None = None,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] = (),
        new: int = 0,
        explore: float = 0.0,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Recommend to one person what they have not seen, or anything where items repeat.

        What the log's domain forbids is never recommended, be the list shorter or empty. With a
        history in place of a user, the domain is asked about a person of whom nothing is known.

        :param user: a user id of the log.
        :param history: in place of a user: titles or item ids, oldest first. Where it is empty,
            recently popular items are recommended that differ from each other.
        :param k: how many items at most.
        :param exclude: titles, item ids or ``attribute=value`` that may not come.
        :param only: if given, nothing but these may come.
        :param new: how many of the last places are reserved for items without events, which are
            ranked by their texts; where there are fewer of them, the others keep the places.
        :param explore: in place of ``new``: the probability with which each place is a new item's,
            drawn by what its text foretells.
        :param seed: of those draws.
        :returns: ``rank``, ``item``, ``title``, ``score``, best first. Scores compare items of one
            list: the policy's or the blend's; with an empty history the marginal relevance of
            :func:`~lightrec.ranking.lists.diversified`, 0.5 for the most popular item.
        :raises RecipeError: where the user, a title or an attribute is not known.
        """
        if (user is None) == (history is None):
            raise RecipeError("Give either a user of the log or a history, not both or neither.")
        rows: list[int] | None = None
        if history is not None:
            items = torch.tensor([[self.item(name) for name in history]], dtype=torch.long)
            known = {Key.HISTORY: items}
        else:
            row = self._rows.get(str(user))
            if row is None:
                raise RecipeError(
                    f"There is no user {user!r} in {self.run.folder('data')}. "
                    "For a person who is not in the log, give a history of titles."
                )
            rows = [row]
            known = self._events(rows, *self._whole)
        allowed = self._eligible(rows, self._allowed(exclude, only))
        if known[Key.HISTORY].any():
            items, scores = self._best(known, allowed, k, self._placed(k, new, explore, seed))
        else:
            items, scores = self._popular(allowed[0], k)
        found = items[0] != PADDING
        chosen = self.catalog[(items[0, found] - 1).tolist()]
        return chosen.select(
            pl.Series("rank", range(1, chosen.height + 1), dtype=pl.Int64),
            Column.ITEM,
            Column.TITLE,
            pl.Series("score", scores[0, found].tolist(), dtype=pl.Float64),
        )

    def recommend_all(
        self,
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        only: Sequence[str] = (),
        new: int = 0,
        explore: float = 0.0,
        seed: int = 0,
        before: Before | None = None,
        batch_size: int = 256,
    ) -> Iterator[pl.DataFrame]:
        """Recommend to every user of the log, in batches.

        :param before: ``test`` to recommend from what came before each user's first test event, so
            that the lists can be judged on those events; None to recommend from everything.
        :returns: an iterator over tables ``user``, ``rank``, ``item``, ``title``, ``score`` and
            ``known_events``: how many of the user's events the list was made from.
        """
        log, ends = self._whole if before is None else self._before_test()
        allowed = self._allowed(exclude, only)
        k = min(k, self.store.num_items)
        placed = self._placed(k, new, explore, seed)
        for start in range(0, self.store.num_users, batch_size):
            rows = range(start, min(start + batch_size, self.store.num_users))
            events = self._events(rows, log, ends)
            known = (ends - log.offsets[:-1])[rows.start : rows.stop]
            items, scores = self._best(events, self._eligible(rows, allowed), k, placed)
            table = pl.DataFrame(
                {
                    Column.USER: [
                        self.store.user_ids[r] for r in rows for _ in range(items.shape[1])
                    ],
                    "rank": list(range(1, items.shape[1] + 1)) * len(rows),
                    "index": (items.flatten() - 1).tolist(),
                    "score": scores.flatten().tolist(),
                    KNOWN: known.repeat(items.shape[1]),
                }
            ).filter(pl.col("index") >= 0)
            titles = self.catalog.select(Column.ITEM, Column.TITLE).with_row_index("index")
            yield table.join(
                titles.with_columns(pl.col("index").cast(pl.Int64)),
                on="index",
                how="left",
                maintain_order="left",
            ).select(Column.USER, "rank", Column.ITEM, Column.TITLE, "score", KNOWN)

    def item(self, name: str) -> int:
        """Find an item by id or title; case does not count, and a beginning is enough if unique.

        :returns: its index, 1 to N.
        :raises RecipeError: where none or several fit.
        """
        ids = self.catalog[Column.ITEM]
        titles = self.catalog[Column.TITLE].str.to_lowercase()
        wanted = str(name).lower()
        for match in (titles == wanted, ids == str(name), titles.str.starts_with(wanted)):
            rows = match.arg_true().to_list()
            if len(rows) == 1:
                return rows[0] + 1
            if rows:
                some = ", ".join(f"{self.catalog[Column.TITLE][r]} (id {ids[r]})" for r in rows[:5])
                raise RecipeError(f"{name!r} fits several items: {some}. Give one's id instead.")
        near = difflib.get_close_matches(wanted, titles.to_list(), n=3, cutoff=0.5)
        hint = f" Did you mean: {', '.join(near)}?" if near else ""
        raise RecipeError(f"There is no item {name!r} in {self.run.folder('data')}.{hint}")

    @cached_property
    def _whole(self) -> tuple[Sequences, Rows]:
        """Whole histories, and where they end."""
        log = Sequences.chosen(self.store)
        return log, log.offsets[1:]

    def _before_test(self) -> tuple[Sequences, Rows]:
        """Histories as the held-out events are judged from, and where they end: (U,)."""
        log = Sequences.all_events(self.store)
        tested = Sequences.targets(self.store, TEST)
        ends = log.offsets[1:].copy()
        # Backwards, so that the first event of each user is what stays.
        ends[tested.users[::-1]] = tested.ends[::-1]
        return log, ends

    def _events(self, rows: Sequence[int], log: Sequences, ends: Rows) -> dict[str, Tensor]:
        """Give users' histories, (B, L), with what else is known of their events."""
        users = np.asarray(rows)
        begins = log.offsets[users]
        found = log.details(begins, ends[users])
        found |= {Key.HISTORY: padded(log.items, begins, ends[users]), Key.USER: users}
        return {name: torch.from_numpy(table) for name, table in found.items()}

    def _select(self, wish: str) -> pl.Series:
        column, equals, value = wish.partition("=")
        if not equals or column not in self.catalog.columns:
            return pl.int_range(1, self.catalog.height + 1, eager=True) == self.item(wish)
        series = self.catalog[column]
        if isinstance(series.dtype, pl.List):
            return (
                series.list.eval(pl.element().cast(pl.String).str.to_lowercase() == value.lower())
                .list.any()
                .fill_null(False)
            )
        text = series.cast(pl.String).str.to_lowercase()
        match = (
            text == value.lower()
            if series.dtype.is_numeric()
            else text.str.contains(value.lower(), literal=True)
        )
        return match.fill_null(False)

    def _allowed(self, exclude: Sequence[str], only: Sequence[str]) -> Tensor:
        """Give ``(N + 1,)`` bool: which items may come at all."""
        allowed = torch.ones(self.store.num_items + 1, dtype=torch.bool)
        allowed[0] = False
        if only:
            allowed[1:] = False
            for wish in only:
                allowed[1:] |= torch.tensor(self._select(wish).to_list())
        for wish in exclude:
            allowed[1:] &= ~torch.tensor(self._select(wish).to_list())
        if not allowed.any():
            raise RecipeError("Nothing is left to recommend: --only and --exclude rule out all.")
        return allowed

    def _eligible(self, rows: Sequence[int] | None, allowed: Tensor) -> Tensor:
        """Take from ``allowed`` (N + 1,) what the domain forbids users: ``(B, N + 1)`` bool.

        :param rows: of the users; None for one person who is not in the log.
        """
        found = eligible(self.store, None if rows is None else np.asarray(rows))
        if found is None:
            return allowed.expand(1 if rows is None else len(rows), -1)
        return torch.from_numpy(found) & allowed

    def _placed(self, k: int, new: int, explore: float, seed: int) -> Placed | None:
        """What gives new items their places, from usual scores and theirs; None if nothing does."""
        if new and explore:
            raise RecipeError("New items get reserved places or explored ones, not both.")
        if not 0 <= new <= k:
            raise RecipeError(f"Of {k} places, {new} cannot be reserved for new items.")
        if not 0 <= explore <= 1:
            raise RecipeError(f"A place is explored with a probability, 0 to 1, not {explore}.")
        if explore:
            generator = torch.Generator().manual_seed(seed)
            return lambda usual, fresh: with_explored_places(usual, fresh, k, explore, generator)
        return (lambda usual, fresh: with_reserved_places(usual, fresh, k, new)) if new else None

    @torch.inference_mode()
    def _best(
        self, known: Mapping[str, Tensor], allowed: Tensor, k: int, placed: Placed | None
    ) -> tuple[Tensor, Tensor]:
        """Items ``(B, k)``, best first, 0 where nothing is left, and their scores."""
        seen = known[Key.HISTORY]
        if isinstance(self.model, Blend):
            raw = self.model.scores(seen, known.get(Key.USER), details=known)
        else:
            raw = self.model.scores(session_start(seen, known.get(Key.USER)))
        usual = raw.masked_fill(~allowed, -torch.inf)
        if not self.store.repeats:
            usual = usual.scatter(1, seen, -torch.inf)
        fresh = torch.full_like(usual, -torch.inf)
        if placed is None:
            items = with_reserved_places(usual, fresh, k, 0)
        else:
            fresh = self._text_map.scores(raw).masked_fill(~allowed, -torch.inf)
            items = placed(usual, fresh)
        shown = torch.where(fresh > -torch.inf, fresh, usual)
        return items, shown.gather(1, items)

    @torch.inference_mode()
    def _popular(self, allowed: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Items ``(1, k)`` for somebody of whom nothing is known, and their marginal relevance."""
        evidence = Evidence.of(self.store, torch.zeros(self.store.num_items + 1, 0))
        form = RecentPopularity() if self.store.has_times else Popularity()
        popularity = form.fit(evidence).counts.masked_fill(~allowed, -torch.inf)
        vectors = self.run.ranker.item_vectors()
        items, scores = diversified(popularity, vectors, k)
        return items[None], scores[None]

    @cached_property
    def _text_map(self) -> TextMap:
        """What gives items without events their scores.

        :raises RunError: where the ranker reads no texts.
        """
        mapped = self.run.blend.text_map(self.store)
        if mapped is None:
            raise RunError(
                f"New items are ranked by their texts, and the ranker of {self.run.path} reads "
                "none: give its recipe a text encoder, and the log an item table."
            )
        return mapped


def load(run: str | Path, by: By | None = None) -> Recommender:
    """Load what a run learned.

    :param run: a run folder such as ``runs/video``.
    :param by: rank by the ``policy`` or the ``blend``; None takes the one that the run's
        evaluation favours.
    """
    return Recommender(run, by)
