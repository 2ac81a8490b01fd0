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
from lightrec.simulators.worlds.far_laws import FarLaws, item_name


class Walk(NamedTuple):
    """Sessions as they happened: S users, T steps, offers of C items."""

    offers: Tensor
    """(S, T, C) int64 item indices from 1."""
    choices: Tensor
    """(S, T) int64: the item chosen, or N + 1 for nothing."""
    rewards: Tensor
    """(S, T, C) float32: true reward of each item offered, for evaluation only."""


@dataclass(frozen=True)
class HeldOut:
    """Fresh users' states with their truth, for evaluation only.

    Items are numbered 1 to N in the world's own order, N + 1 is nothing.
    """

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
        """Renumber for a prepared log.

        :param items: the log's items in index order (row i - 1 is item i), as the log names them.
        :returns: the same states; N + 1 is nothing again, and an item that the log lacks is 0.
        """
        number = max(int(self.history.max()), int(self.candidates.max()))
        table = torch.zeros(max(number, FarLaws.ITEMS + 1) + 1, dtype=torch.int64)
        table[[_index(name) for name in items]] = torch.arange(1, len(items) + 1)
        table[FarLaws.ITEMS + 1] = len(items) + 1
        return HeldOut(table[self.history], table[self.candidates], self.reward, self.value)


class FarLog(FarLaws):
    """Users of the world `far` who choose from all that is offered, and their sessions as a log.

    Sessions follow from the seed and the argument of each method.
    """

    def walk(self, sessions: int, seed: int = 1) -> Walk:
        """Whole sessions, the unlogged steps included."""
        generator = self._generator(seed)
        state = self.new_users(sessions, generator)
        offers, choices, rewards = [], [], []
        for _ in range(self.SESSION):
            offers.append(self.offers(sessions, generator))
            rewards.append(self.reward(state, offers[-1]))
            values = self.action_values(state, offers[-1])
            choices.append(self.choose(values, offers[-1], generator))
            state = self.advance(state, choices[-1], generator)
        return Walk(*(torch.stack(each, 1) for each in (offers, choices, rewards)))

    def held_out(self, sessions: int, seed: int = 2) -> HeldOut:
        """States of fresh users, each at a step drawn evenly from the logged ones.

        :param seed: keep it apart from the log's, which is 1 unless given.
        """
        generator = self._generator(seed)
        state = self.new_users(sessions, generator)
        moment = torch.randint(self.UNLOGGED, self.SESSION, (sessions,), generator=generator)
        shape = (sessions, self.OFFER)
        history, candidates = torch.zeros(2, *shape, dtype=torch.int64)
        reward, value = torch.zeros(2, *shape)
        recent = torch.zeros(shape, dtype=torch.int64)
        for step in range(self.SESSION):
            offers = self.offers(sessions, generator)
            values = self.action_values(state, offers)
            now = moment == step
            history[now], candidates[now] = recent[now], offers[now]
            reward[now], value[now] = self.reward(state, offers)[now], values[now, :-1]
            choices = self.choose(values, offers, generator)
            recent = torch.cat([recent[:, 1:], choices.unsqueeze(1)], 1)
            state = self.advance(state, choices, generator)
        return HeldOut(history, candidates, reward, value)

    def log(self, sessions: int, seed: int = 1) -> tuple[InteractionLog, Catalog]:
        """Log sessions, and put the items into words.

        A session's unlogged steps are there without candidates (an empty list), so that they can
        stand in histories but are never explained. Time counts steps, as seconds since 1970.

        :returns: the log, with a null item where nothing was chosen, and the catalog.
        """
        walk = self.walk(sessions, seed)
        names = pl.Series([item_name(index) for index in range(1, self.ITEMS + 1)])
        choices = walk.choices.flatten().numpy()
        chosen = pl.Series(np.where(choices > self.ITEMS, 0, choices) - 1)
        logged = walk.offers[:, self.UNLOGGED :].reshape(-1, self.OFFER).numpy() - 1
        step = np.tile(np.arange(self.SESSION), sessions)
        candidates = np.full(len(choices), -1)
        candidates[step >= self.UNLOGGED] = np.arange(len(logged))
        offered = pl.Series(logged).cast(pl.List(pl.UInt32))
        flat = names.gather(offered.explode(empty_as_null=False)).to_frame("item")
        sets = flat.select(
            pl.col("item").reshape((len(logged), self.OFFER)).arr.to_list()
        ).to_series()
        events = pl.DataFrame(
            {
                Column.USER: np.repeat(np.arange(sessions), self.SESSION),
                Column.ITEM: names.gather(chosen.set(chosen < 0, None)),
                Column.TIME: pl.Series(step * 1000).cast(pl.Datetime("ms", "UTC")),
                Column.FEEDBACK: np.where(choices > self.ITEMS, "skip", "choice"),
                Column.CANDIDATES: sets.gather(
                    pl.Series(candidates).set(pl.Series(candidates) < 0, None)
                ).fill_null([]),
            }
        )
        events = events.with_columns(pl.format("session-{}", Column.USER).alias(Column.USER))
        return InteractionLog(events), self.catalog()


def _index(name: str) -> int:
    return int(name.rsplit("-", 1)[1])
