"""The world `tastes`: people who come again every day, and whose tastes change from day to day."""

from typing import Any

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.api import Catalog, Column, Key, RecipeError, Users, World, noise
from lightrec.simulators.base import Response, State
from lightrec.simulators.worlds.texts import CATEGORIES, describe_films
from lightrec_worlds.greed import products


class Tastes(World):
    """People who come again every day, with tastes that drift.

    Items have a direction v in R^16 around one of 20 categories, v = unit(.8 centre + ε / 4), and
    quality q = .6 ε. A person has a taste u in R^16, which is ε on day 0 and every day after it
    ρ u + sqrt(1 - ρ²) ε, with ρ = 1 - ``drift``: tastes k days apart correlate by ρ to the power k,
    and are spread alike on every day. Each item i of a slate is taken by itself, with probability
    sigmoid(1.5 u·v + q - 3), and has reward 1. Nobody leaves, and nothing is shown twice in a
    session.

    A session is a person's visit on one day. The same person has the same taste on a day whatever
    the seed of chance; logs of the world name people, and are dated by the day.

    Policies see items as (v, q) in ``item_vectors`` (N + 1, 17), and of people only what they took.
    Hidden in ``latent`` is ``taste`` (B, 16).

    :param batch_size: people B; they are the first B of the world.
    :param seed: of the items, and of the people and their tastes.
    :param num_items: N.
    :param drift: 0 to 1: 1 minus the correlation of a person's tastes on neighboring days.
    :param day: when people come, from 0.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where drift or day are out of range.
    """

    SIZE = 16
    TASTE, COST = 1.5, 3.0

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        num_items: int = 1000,
        drift: float = 0.0,
        day: int = 0,
        slate_size: int = 10,
        max_steps: int = 1,
        **settings: Any,
    ) -> None:
        if not 0 <= drift <= 1 or day < 0:
            raise RecipeError(
                f"drift is {drift} and day is {day}; a drift lies between 0, for tastes that stay, "
                "and 1, for new ones every day, and days are counted from 0."
            )
        draws = torch.Generator().manual_seed(seed)
        centres = normalize(torch.randn(len(CATEGORIES), self.SIZE, generator=draws), dim=1)
        category = torch.arange(num_items) % len(CATEGORIES)
        spread = torch.randn(num_items, self.SIZE, generator=draws) / 4
        direction = normalize(0.8 * centres[category] + spread, dim=1)
        quality = 0.6 * torch.randn(num_items, 1, generator=draws)
        super().__init__(
            pad(torch.cat([direction, quality], 1), (0, 0, 1, 0)),
            batch_size,
            latent={"taste": (self.SIZE,)},
            slate_size=slate_size,
            max_steps=max_steps,
            **settings,
        )
        self.seed, self.drift, self.day = seed, drift, day
        self.category = category
        self.direction, quality = self.item_vectors.split([self.SIZE, 1], 1)
        """(N + 1, 16)."""
        self.quality = quality.squeeze(1)
        """(N + 1,)."""

    def tastes(self, people: Tensor, day: int) -> Tensor:
        """The tastes (B, 16) that people (B,) have on a day."""
        axes = torch.arange(self.SIZE, device=people.device)
        person = noise.mix(noise.mix(people, self.seed), 0).unsqueeze(1)
        stays = 1 - self.drift
        taste = noise.normal(noise.mix(noise.mix(person, 0), axes))
        for each in range(1, day + 1):
            fresh = noise.normal(noise.mix(noise.mix(person, each), axes))
            taste = stays * taste + (1 - stays**2) ** 0.5 * fresh
        return taste

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions of people, who are born of their own numbers and not of the sessions'."""
        people = rows if self.given is None else self.given[0][rows]
        return super().start(rows, people.unsqueeze(1).to(session.device))

    def begin(self, session: Tensor) -> dict[str, State]:
        """People with the tastes of the day, by their numbers (R, 1)."""
        return {Key.LATENT: {"taste": self.tastes(session.squeeze(1), self.day)}}

    def logits(self, state: TensorDictBase, items: Tensor | None = None) -> Tensor:
        """The logits of taking items (B, C), or all in the order 0 to N: (B, N + 1)."""
        liked = products(state[Key.LATENT, "taste"], self.direction, items)
        quality = self.quality if items is None else self.quality[items]
        return self.TASTE * liked + quality - self.COST

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take or leave every item of the slate by itself."""
        # Another day is another chance, also where sessions have the same seed.
        chance = noise.uniform(noise.mix(noise.mix(self.chance(state), self.day), slate))
        likely = torch.sigmoid(self.logits(state, slate))
        taken = (chance.float() < likely) & (slate > 0)
        return Response(taken, taken.float(), torch.zeros_like(taken[:, 0]))

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score by the logit of being taken, which is the best possible: items do not interact."""
        return self.logits(state)

    def catalog(self) -> Catalog:
        """The items; their texts say category, strongest coordinates and quality."""
        parts = (self.direction[1:], self.quality[1:], self.category)
        return describe_films(*(part.cpu().numpy() for part in parts))

    def people(self) -> Users:
        """The people, named ``person-0001`` and so on."""
        numbers = range(1, self.batch_size[0] + 1)
        return Users(pl.DataFrame({Column.USER: [f"person-{number:04}" for number in numbers]}))
