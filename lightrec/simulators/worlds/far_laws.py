"""The laws of the world `far`, in which far sight matters: people choose with soft-optimal values.

Choosing an item tires the user of its category and moves the appeal of everything that comes
later. What people choose is therefore not what they like now: the true reward, known here, can be
learned only by inverse reinforcement learning. Everything is batched over users. Sessions with
recommenders are run by :mod:`lightrec.simulators.worlds.far`, logs without one written by
:mod:`lightrec.simulators.worlds.far_log`.
"""

from copy import copy, deepcopy
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot, pad

from lightrec.data.catalog import Catalog
from lightrec.keys import Column
from lightrec.simulators.worlds.texts import describe_films


class SoftValue(nn.Module):
    """V(u, f), averaged over offers.

    :param topics: length of the taste vector u.
    :param categories: length of the exposure vector f.
    """

    def __init__(self, topics: int, categories: int, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(topics + categories, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def forward(self, taste: Tensor, exposure: Tensor) -> Tensor:
        """Values (...,) of tastes (..., 16) and exposures (..., 20)."""
        # Values are of the order of ten: the factor keeps the last layer's weights near one.
        return 10 * self.net(torch.cat([2 * taste, 0.5 * exposure], -1)).squeeze(-1)


def fit_soft_value(
    world: "FarLaws", value: SoftValue, generator: torch.Generator, *, users: int, steps: int
) -> float:
    """Fit V by soft value iteration along the walks of `users` users.

    :param value: fitted in place.
    :param users: how many walk at once.
    :param steps: regression steps; each moves every user on by one step of the world.
    :returns: root mean square Bellman error over the last tenth of the steps, offers' noise
        included.
    """
    optimizer = torch.optim.Adam(value.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-2, total_steps=steps, pct_start=0.1
    )
    state = world.new_users(users, generator)
    # Users of every age are in the batch at once, so that no step sees only young ones.
    age = torch.arange(users) % world.SESSION
    errors: list[float] = []
    for step in range(steps):
        offers = world.offers(users, generator)
        with torch.no_grad():
            values = world.action_values(state, offers, value)
        loss = (value(state.taste, state.exposure) - values.logsumexp(-1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= 0.9 * steps:
            errors.append(float(loss.detach()))
        state = world.advance(state, world.choose(values, offers, generator), generator)
        age = (age + 1) % world.SESSION
        state = _renew(state, world.new_users(users, generator), age == 0)
    return float(torch.tensor(errors).mean().sqrt())


def _renew(old: "UserState", new: "UserState", where: Tensor) -> "UserState":
    pick = where.unsqueeze(-1)
    return type(old)(
        torch.where(pick, new.taste, old.taste), torch.where(pick, new.exposure, old.exposure)
    )


class UserState(NamedTuple):
    """Hidden state of a batch of B users."""

    taste: Tensor
    """(B, 16) unit vectors u."""
    exposure: Tensor
    """(B, 20) discounted counts f of the categories chosen."""


class FarLaws:
    """Items of the world `far`, and how its users feel, choose and change.

    :param seed: of the items and of the fitted values.
    :param discount: the users' own; 0 makes them myopic (they choose by the reward).
    :param after_effect: the end of the grid of after-effects ρ; 0 switches them off.
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
        self,
        seed: int,
        *,
        discount: float = 0.9,
        after_effect: float = 0.25,
        fit_users: int = 256,
        fit_steps: int = 2000,
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
        self.after_effect = torch.linspace(-after_effect, after_effect, self.CATEGORIES)[shuffle]
        self.value = self._fitted_value(fit_users, fit_steps)

    def born(self, home: Tensor, noise: Tensor) -> UserState:
        """Users at the beginning of their sessions.

        :param home: (B,) int64, the category that each lives in, from 0.
        :param noise: (B, 16) standard normal numbers.
        """
        taste = normalize(0.5 * self.centres[home] + noise / 4, dim=-1)
        return UserState(taste, taste.new_zeros(len(home), self.CATEGORIES))

    def new_users(self, number: int, generator: torch.Generator) -> UserState:
        """Draw users at the beginning of their sessions."""
        home = torch.randint(self.CATEGORIES, (number,), generator=generator)
        return self.born(home, self._normal(generator, number, self.SIZE))

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
        reward = pad(self.reward(state, items), (0, 1))
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
        exposure = 0.9 * state.exposure.unsqueeze(1) + pad(chosen, (0, 0, 0, 1))
        with torch.no_grad():
            return reward + self.discount * value(taste, exposure)

    def choose(self, values: Tensor, offers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw choices (B,) with probability ∝ exp(values (B, C + 1)); N + 1 is nothing."""
        uniform = torch.rand(values.shape, generator=generator).clamp_min(1e-12)
        slot = (values - (-uniform.log()).log()).argmax(-1, keepdim=True)
        options = pad(offers, (0, 1), value=self.ITEMS + 1)
        return options.gather(1, slot).squeeze(1)

    def after(self, state: UserState, choices: Tensor, noise: Tensor) -> UserState:
        """The users' next state after choices (B,), N + 1 being nothing.

        :param noise: (B, 16) standard normal numbers.
        """
        accepted = (choices <= self.ITEMS).float().unsqueeze(-1)
        rows = (choices - 1).clamp_max(self.ITEMS - 1)
        moved = state.taste + 0.1 * accepted * self.vectors[rows] + 0.015 * noise
        chosen = one_hot(self.category[rows], self.CATEGORIES) * accepted
        return UserState(normalize(moved, dim=-1), 0.9 * state.exposure + chosen)

    def advance(self, state: UserState, choices: Tensor, generator: torch.Generator) -> UserState:
        """Draw the users' next state after choices (B,), N + 1 being nothing."""
        return self.after(state, choices, self._normal(generator, *state.taste.shape))

    def texts(self) -> tuple[list[str], list[str]]:
        """Titles and texts of the items, in order."""
        parts = (self.vectors, self.quality, self.category)
        return describe_films(*(part.cpu().numpy() for part in parts))

    def catalog(self) -> Catalog:
        """The items, named, with titles and texts."""
        names = [item_name(index) for index in range(1, self.ITEMS + 1)]
        titles, texts = self.texts()
        return Catalog(pl.DataFrame({Column.ITEM: names, Column.TITLE: titles, Column.TEXT: texts}))

    def to(self, device: torch.device | str) -> Self:
        """Copy the laws to a device; drawing from generators stays an affair of the CPU."""
        moved = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(device))
        moved.value = deepcopy(self.value).to(device)
        return moved

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


@lru_cache(maxsize=4)
def fitted_laws(seed: int) -> FarLaws:
    """Give the laws of a seed, whose values are fitted only once."""
    return FarLaws(seed)


def item_name(index: int) -> str:
    """Name in the log of the world's item `index`, from 1."""
    return f"item-{index:04d}"
