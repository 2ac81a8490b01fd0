"""Logs of the world `far`, its users choosing freely, and the truth for evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file
from torch import Tensor

from lightrec.data.catalog import Catalog
from lightrec.data.files import save_tensors
from lightrec.data.log import InteractionLog
from lightrec.keys import Column
from lightrec.simulators.worlds.far import FarLaws, UserState


class Walk(NamedTuple):
    """Sessions as they happened: S users, T steps, offers of C items."""

    offers: Tensor
    """(S, T, C) int64 item indices from 1."""
    choices: Tensor
    """(S, T) int64: the item chosen, or N + 1 for nothing."""
    rewards: Tensor
    """(S, T, C) float32: true reward of each item offered, for evaluation only."""
    values: Tensor
    """(S, T, C) float32: true soft action value Q* of each item offered, likewise."""


@dataclass(frozen=True)
class HeldOut:
    """Fresh users' states with their truth, for evaluation only; N + 1 is nothing."""

    history: Tensor
    """(S, 20) int64: the last 20 choices, oldest first."""
    candidates: Tensor
    """(S, 20) int64: the offer."""
    reward: Tensor
    """(S, 20) float32: true reward of each item offered."""
    value: Tensor
    """(S, 20) float32: true soft action value Q* of each item offered."""

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_tensors(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "HeldOut":
        """Read what `save` wrote."""
        return cls(**load_file(path))

    def reindex(self, items: list[str]) -> "HeldOut":
        """Renumber for a prepared log; an item that it lacks is 0.

        :param items: the log's items in index order (row i - 1 is item i), as the log names them.
        """
        number = max(int(self.history.max()), int(self.candidates.max()))
        table = torch.zeros(max(number, FarLaws.ITEMS + 1) + 1, dtype=torch.int64)
        numbers = [int(name.rsplit("-", 1)[1]) for name in items]
        table[numbers] = torch.arange(1, len(items) + 1)
        table[FarLaws.ITEMS + 1] = len(items) + 1
        return HeldOut(table[self.history], table[self.candidates], self.reward, self.value)


class FarLog(FarLaws):
    """Users of the world `far` who choose from all that is offered, and their sessions as a log."""

    def walk(self, sessions: int, seed: int = 1) -> Walk:
        """Whole sessions, the unlogged steps included."""
        generator = self._generator(seed)
        return self._walk(self.new_users(sessions, generator), generator)

    def _walk(self, state: UserState, generator: torch.Generator) -> Walk:
        steps = []
        for _ in range(self.SESSION):
            offers = self.offers(len(state.taste), generator)
            values = self.action_values(state, offers)
            choices = self.choose(values, offers, generator)
            steps.append((offers, choices, self.reward(state, offers), values[:, :-1]))
            state = self.advance(state, choices, generator)
        return Walk(*(torch.stack(each, 1) for each in zip(*steps, strict=True)))

    def held_out(self, sessions: int, seed: int = 2) -> HeldOut:
        """States of fresh users, each at a step drawn evenly from the logged ones.

        :param seed: keep it apart from the log's, which is 1 unless given.
        """
        generator = self._generator(seed)
        state = self.new_users(sessions, generator)
        moment = torch.randint(self.UNLOGGED, self.SESSION, (sessions,), generator=generator)
        walk, rows = self._walk(state, generator), torch.arange(sessions)
        recent = moment.unsqueeze(1) + torch.arange(-self.LOGGED, 0)
        parts = (walk.offers, walk.rewards, walk.values)
        return HeldOut(walk.choices.gather(1, recent), *(part[rows, moment] for part in parts))

    def log(self, sessions: int, seed: int = 1) -> tuple[InteractionLog, Catalog]:
        """Log sessions, and put the items into words.

        A session's unlogged steps are there without candidates (an empty list), so that they can
        stand in histories but are never explained. Time counts steps, as seconds since 1970.

        :returns: the log, with a null item where nothing was chosen, and the catalog.
        """
        walk, catalog = self.walk(sessions, seed), self.catalog()
        names = catalog.rows[Column.ITEM]
        choices = pl.Series(walk.choices.flatten().numpy())
        step = np.tile(np.arange(self.SESSION), sessions)
        offered = names.gather(walk.offers.flatten().numpy() - 1).reshape((-1, self.OFFER))
        none = pl.lit([], dtype=pl.List(pl.String))
        events = pl.DataFrame(
            {
                Column.USER: np.repeat(np.arange(sessions), self.SESSION),
                Column.ITEM: names.gather((choices - 1).set(choices > self.ITEMS, None)),
                Column.TIME: pl.Series(step * 1000).cast(pl.Datetime("ms", "UTC")),
                Column.FEEDBACK: np.where(choices > self.ITEMS, "skip", "choice"),
                Column.CANDIDATES: offered.arr.to_list(),
            }
        )
        logged = pl.lit(pl.Series(step >= self.UNLOGGED))
        events = events.with_columns(
            pl.format("session-{}", Column.USER).alias(Column.USER),
            pl.when(logged).then(Column.CANDIDATES).otherwise(none).alias(Column.CANDIDATES),
        )
        return InteractionLog(events), catalog
