"""The world `far`, in which far sight matters: people choose with soft-optimal values.

Choosing an item tires the user of its category and moves the appeal of everything that comes
later. What people choose is therefore not what they like now: the true reward, known here, can be
learned only by inverse reinforcement learning. Everything is batched over users.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from lightrec.data.catalog import Catalog
from lightrec.data.log import InteractionLog
from lightrec.keys import Column
from lightrec.simulators.far_texts import describe
from lightrec.simulators.far_value import SoftValue, fit_soft_value


class UserState(NamedTuple):
    """Hidden state of a batch of B users."""

    taste: Tensor
    """(B, 16) unit vectors u."""
    exposure: Tensor
    """(B, 20) discounted counts f of the categories chosen."""


class Walk(NamedTuple):
    """Sessions as they happened: S users, T steps, offers of C items."""

    offers: Tensor
    """(S, T, C) int64 item indices from 1."""
    choices: Tensor
    """(S, T) int64: the item chosen, or N + 1 for nothing."""


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
        save_file({name: tensor.contiguous() for name, tensor in vars(self).items()}, path)

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
        table = torch.zeros(max(number, FarWorld.ITEMS + 1) + 1, dtype=torch.int64)
        table[[_index(name) for name in items]] = torch.arange(1, len(items) + 1)
        table[FarWorld.ITEMS + 1] = len(items) + 1
        return HeldOut(table[self.history], table[self.candidates], self.reward, self.value)


class FarWorld:
    """Users, items and laws of the world `far`.

    :param seed: of the items, of the fitted values and, with the argument of each method, of the
        sessions.
    :param discount: the users' own; 0 makes them myopic (they choose by the reward).
    :param fit_users: users that walk during soft value iteration.
    :param fit_steps: regression steps of soft value iteration.
    """

    ITEMS = 2000
    CATEGORIES = 20
    SIZE = 16
    OFFER = 20
    UNLOGGED = 20
    LOGGED = 20
    SESSION = UNLOGGED + LOGGED

    def __init__(
        self, seed: int, *, discount: float = 0.9, fit_users: int = 256, fit_steps: int = 2000
    ) -> None:
        self.seed = seed
        self.discount = discount
        generator = self._generator(0)
        self.centres = normalize(self._normal(generator, self.CATEGORIES, self.SIZE), dim=-1)
        self.category = torch.arange(self.ITEMS) % self.CATEGORIES
        self.vectors = normalize(
            0.8 * self.centres[self.category] + self._normal(generator, self.ITEMS, self.SIZE) / 4,
            dim=-1,
        )
        self.quality = (
            0.6 * self._normal(generator, self.ITEMS)
            + 0.5 * self._normal(generator, self.CATEGORIES)[self.category]
        )
        shuffle = torch.randperm(self.CATEGORIES, generator=generator)
        self.fatigue = torch.linspace(0.1, 1, self.CATEGORIES)[shuffle]
        shuffle = torch.randperm(self.CATEGORIES, generator=generator)
        self.after_effect = torch.linspace(-0.25, 0.25, self.CATEGORIES)[shuffle]
        self.value = self._fitted_value(fit_users, fit_steps)

    def new_users(self, number: int, generator: torch.Generator) -> UserState:
        """Users at the beginning of their sessions."""
        home = torch.randint(self.CATEGORIES, (number,), generator=generator)
        noise = self._normal(generator, number, self.SIZE) / 4
        taste = normalize(0.5 * self.centres[home] + noise, dim=-1)
        return UserState(taste, torch.zeros(number, self.CATEGORIES))

    def offers(self, number: int, generator: torch.Generator) -> Tensor:
        """Offers (number, 20) of different items, drawn evenly; items from 1."""
        offers = torch.randint(1, self.ITEMS + 1, (number, self.OFFER), generator=generator)
        while True:
            ordered = offers.sort(-1).values
            bad = (ordered[:, 1:] == ordered[:, :-1]).any(-1).nonzero().squeeze(-1)
            if not len(bad):
                return offers
            offers[bad] = torch.randint(
                1, self.ITEMS + 1, (len(bad), self.OFFER), generator=generator
            )

    def reward(self, state: UserState, items: Tensor) -> Tensor:
        """True rewards (B, C) of items (B, C) from 1; nothing has reward 0 and is not an item."""
        rows = items - 1
        category = self.category[rows]
        appeal = torch.einsum("bd,bcd->bc", state.taste, self.vectors[rows])
        tired = self.fatigue[category] * state.exposure.gather(1, category)
        after = (state.exposure @ self.after_effect).unsqueeze(-1)
        return 4 * appeal + self.quality[rows] - tired + after - 2.2

    def action_values(
        self, state: UserState, items: Tensor, value: SoftValue | None = None
    ) -> Tensor:
        """Soft action values Q* (B, C + 1) of items (B, C) and, in the last column, of nothing."""
        reward = torch.nn.functional.pad(self.reward(state, items), (0, 1))
        if self.discount == 0:
            return reward
        value = self.value if value is None else value
        rows = items - 1
        taste = torch.cat(
            [
                normalize(state.taste.unsqueeze(1) + 0.1 * self.vectors[rows], dim=-1),
                state.taste.unsqueeze(1),
            ],
            1,
        )
        chosen = one_hot(self.category[rows], self.CATEGORIES).float()
        exposure = 0.9 * state.exposure.unsqueeze(1) + torch.nn.functional.pad(chosen, (0, 0, 0, 1))
        with torch.no_grad():
            return reward + self.discount * value(taste, exposure)

    def choose(self, values: Tensor, offers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw choices (B,) with probability ∝ exp(values (B, C + 1)); N + 1 is nothing."""
        uniform = torch.rand(values.shape, generator=generator).clamp_min(1e-12)
        slot = (values - (-uniform.log()).log()).argmax(-1, keepdim=True)
        options = torch.nn.functional.pad(offers, (0, 1), value=self.ITEMS + 1)
        return options.gather(1, slot).squeeze(1)

    def advance(self, state: UserState, choices: Tensor, generator: torch.Generator) -> UserState:
        """The users' next state after choices (B,), N + 1 being nothing."""
        accepted = (choices <= self.ITEMS).float().unsqueeze(-1)
        rows = (choices - 1).clamp_max(self.ITEMS - 1)
        noise = 0.015 * self._normal(generator, *state.taste.shape)
        taste = normalize(state.taste + 0.1 * accepted * self.vectors[rows] + noise, dim=-1)
        chosen = one_hot(self.category[rows], self.CATEGORIES) * accepted
        return UserState(taste, 0.9 * state.exposure + chosen)

    def walk(self, sessions: int, seed: int = 1) -> Walk:
        """Whole sessions, the unlogged steps included."""
        generator = self._generator(seed)
        state = self.new_users(sessions, generator)
        offers, choices = [], []
        for _ in range(self.SESSION):
            offers.append(self.offers(sessions, generator))
            values = self.action_values(state, offers[-1])
            choices.append(self.choose(values, offers[-1], generator))
            state = self.advance(state, choices[-1], generator)
        return Walk(torch.stack(offers, 1), torch.stack(choices, 1))

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
        titles, texts = self.texts()
        items = pl.DataFrame({Column.ITEM: names, Column.TITLE: titles, Column.TEXT: texts})
        return InteractionLog(events), Catalog(items)

    def texts(self) -> tuple[list[str], list[str]]:
        """Titles and texts of the items, in order."""
        return describe(self.vectors.numpy(), self.quality.numpy(), self.category.numpy())

    def _fitted_value(self, users: int, steps: int) -> SoftValue:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            value = SoftValue(self.SIZE, self.CATEGORIES)
        self.bellman_error = 0.0
        if self.discount > 0:
            self.bellman_error = fit_soft_value(
                self, value, self._generator(3), users=users, steps=steps
            )
        return value.requires_grad_(False)

    def _generator(self, purpose: int) -> torch.Generator:
        # Different purposes of one seed, and different seeds, must not share their numbers.
        mixed = np.random.SeedSequence([self.seed, purpose]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(mixed[0]) << 31 ^ int(mixed[1]))

    @staticmethod
    def _normal(generator: torch.Generator, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)


def item_name(index: int) -> str:
    """Name in the log of the world's item `index`, from 1."""
    return f"item-{index:04d}"


def _index(name: str) -> int:
    return int(name.rsplit("-", 1)[1])
