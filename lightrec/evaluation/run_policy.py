"""A run's blend as a policy among items and people whom its log names, such as those of a world."""

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.sequences import Sequences, with_only
from lightrec.data.store import padded
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Column, Key
from lightrec.nn.session import State
from lightrec.policies.base import ScoredPolicy, among_candidates, without_nothing
from lightrec.policies.baselines import AT_ONCE
from lightrec.ranking.continued import numbers_before
from lightrec.ranking.item_models.base import popular
from lightrec.run import Run


class RunPolicy(ScoredPolicy):
    """Shows what a run recommends to the people of its log: what `lightrec recommend` lists.

    A history is a person's events in the log, up to those with which this version of the run was
    made, and then what the session adds. People without any history are shown what is popular.

    :param run: whose blend ranks.
    :param items: names of the items 1 to N, as in the run's log.
    :param people: names of the users by their number; None where nobody is known.
    :raises RecipeError: where the run's log names none of the items.
    """

    def __init__(self, run: Run, items: pl.Series, people: pl.Series | None = None) -> None:
        super().__init__(len(items))
        self.store, self.blend = run.data, run.blend
        self.log, self.popularity = Sequences.chosen(self.store), popular(self.store)
        self._edges = self.log.offsets[:-1], self.log.offsets[1:]
        known = torch.from_numpy(numbers_before(items, self.store.catalog[Column.ITEM]) + 1)
        if not known.any():
            raise RecipeError(
                f"The log of {run.path} names none of the {len(items):,} items that are to be "
                f"shown, such as {items[0]!r}. Take a run that was made from a log of theirs."
            )
        self.items = pad(known, (1, 0))
        """(N + 1,) int64: the items' numbers in the run, 0 where it does not know one."""
        self.rows = None if people is None else numbers_before(people, self.store.user_ids)
        """The people's rows in the run's user table, -1 where it does not know somebody."""

    @torch.no_grad()
    def logits(self, state: State) -> Tensor:
        """The blend's scores of a state's columns."""
        histories = state[Key.HISTORY].split(AT_ONCE)
        users = state[Key.USER].split(AT_ONCE)
        scores = torch.cat([self._scores(*each) for each in zip(histories, users, strict=True)])
        return among_candidates(state, scores)

    def _scores(self, session: Tensor, users: Tensor) -> Tensor:
        """Score all items after what sessions (B, L) add to the users' own events: (B, N + 1)."""
        rows = np.full(len(users), -1) if self.rows is None else self.rows[users.numpy()]
        begins, ends = (np.where(rows < 0, 0, edge[rows]) for edge in self._edges)
        found = {Key.HISTORY: padded(self.log.items, begins, ends)}
        found |= self.log.details(begins, ends)
        # Of what was taken in this session neither the feedback nor the time is known.
        added = self.items[without_nothing(session, self.num_items)]
        known = {
            name: torch.cat([torch.from_numpy(own), added * (name == Key.HISTORY)], 1)
            for name, own in found.items()
        }
        known = with_only(known, known[Key.HISTORY] > PADDING)
        history = known[Key.HISTORY]
        who = None if (rows < 0).any() else torch.from_numpy(rows)
        scores = self.blend.scores(history, who, details=known)
        unknown = self.popularity.counts.clamp_min(0).log1p().expand_as(scores)
        scores = torch.where(history.any(1, keepdim=True), scores, unknown)
        if not self.store.repeats:
            scores = scores.scatter(1, history, -torch.inf)
        return scores[:, self.items].masked_fill(self.items == PADDING, -torch.inf)
