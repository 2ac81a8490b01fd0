"""The world `far`, in which far sight matters: people choose with soft-optimal values.

Choosing an item tires the user of its category and moves the appeal of everything that comes
later: the true reward can be learned only by inverse reinforcement learning. Logs without a
recommender are written by :mod:`lightrec.simulators.worlds.far_log`.
"""

from contextlib import suppress
from copy import deepcopy
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot, pad
from torch.optim.lr_scheduler import OneCycleLR

from lightrec.data.catalog import Catalog
from lightrec.data.files import appearing, cache_folder, save_tensors
from lightrec.keys import Key
from lightrec.nn.session import perceptron
from lightrec.simulators import noise
from lightrec.simulators.base import Response, State
from lightrec.simulators.world import World
from lightrec.simulators.worlds.texts import describe_films


class UserState(NamedTuple):
    """Hidden state of a batch of B users."""

    taste: Tensor
    """(B, 16) unit vectors u."""
    exposure: Tensor
    """(B, 20) discounted counts f of the categories chosen."""


class FarLaws(nn.Module):
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
        super().__init__()
        self.seed, self.discount = seed, discount
        draws, size, count = self._generator(0), self.SIZE, self.CATEGORIES
        category = torch.arange(self.ITEMS) % count
        centres = normalize(self._normal(draws, count, size), dim=-1)
        spread = self._normal(draws, self.ITEMS, size) / 4
        quality = 0.6 * self._normal(draws, self.ITEMS)
        self.quality = nn.Buffer(quality + 0.5 * self._normal(draws, count)[category])
        self.category, self.centres = nn.Buffer(category), nn.Buffer(centres)
        self.vectors = nn.Buffer(normalize(0.8 * centres[category] + spread, dim=-1))
        grid = torch.linspace(0.1, 1, count)
        self.fatigue = nn.Buffer(grid[torch.randperm(count, generator=draws)])
        grid = torch.linspace(-after_effect, after_effect, count)
        self.after_effect = nn.Buffer(grid[torch.randperm(count, generator=draws)])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = perceptron([size + count, 64, 64, 1], activation=nn.SiLU)
        self.network.requires_grad_(False)
        self.bellman_error = 0.0
        """Root mean square over the last tenth of the fit, offers' noise included."""
        if discount > 0:
            self._fit(f"{seed} {discount} {after_effect}", fit_users, fit_steps)

    def born(self, home: Tensor, noise: Tensor) -> UserState:
        """Users at the beginning, from their homes (B,), categories from 0, and noise (B, 16)."""
        taste = normalize(0.5 * self.centres[home] + noise / 4, dim=-1)
        return UserState(taste, taste.new_zeros(len(home), self.CATEGORIES))

    def new_users(self, number: int, generator: torch.Generator) -> UserState:
        """Draw users at the beginning."""
        home = torch.randint(self.CATEGORIES, (number,), generator=generator)
        return self.born(home, self._normal(generator, number, self.SIZE))

    def offers(self, number: int, generator: torch.Generator) -> Tensor:
        """Offers (number, 20) of different items, drawn evenly; items from 1."""
        offers = torch.zeros(number, self.OFFER, dtype=torch.int64)
        bad = torch.arange(number)
        while len(bad):
            shape = (len(bad), self.OFFER)
            offers[bad] = torch.randint(1, self.ITEMS + 1, shape, generator=generator)
            ordered = offers.sort(-1).values
            bad = (ordered[:, 1:] == ordered[:, :-1]).any(-1).nonzero().squeeze(-1)
        return offers

    def reward(self, state: UserState, items: Tensor) -> Tensor:
        """True rewards (B, C) of items (B, C) from 1; nothing has reward 0 and is not an item."""
        rows = items - 1
        category = self.category[rows]
        appeal = torch.einsum("bd,bcd->bc", state.taste, self.vectors[rows])
        tired = self.fatigue[category] * state.exposure.gather(1, category)
        after = (state.exposure @ self.after_effect).unsqueeze(-1)
        return 4 * appeal + self.quality[rows] - tired + after - 2.2

    def value(self, taste: Tensor, exposure: Tensor) -> Tensor:
        """Soft values V (...,) of tastes (..., 16), exposures (..., 20), averaged over offers."""
        # Values are of the order of ten: the factor keeps the last layer's weights near one.
        scaled: Tensor = self.network(torch.cat([2 * taste, 0.5 * exposure], -1))
        return 10 * scaled.squeeze(-1)

    @torch.no_grad()
    def action_values(self, state: UserState, items: Tensor) -> Tensor:
        """Soft action values Q* (B, C + 1) of items (B, C) and, in the last column, of nothing."""
        reward = pad(self.reward(state, items), (0, 1))
        if self.discount == 0:
            return reward
        rows, taste = items - 1, state.taste.unsqueeze(1)
        moved = normalize(taste + 0.1 * self.vectors[rows], dim=-1)
        chosen = one_hot(self.category[rows], self.CATEGORIES).float()
        exposure = 0.9 * state.exposure.unsqueeze(1) + pad(chosen, (0, 0, 0, 1))
        return reward + self.discount * self.value(torch.cat([moved, taste], 1), exposure)

    def choose(self, values: Tensor, offers: Tensor, generator: torch.Generator) -> Tensor:
        """Draw choices (B,) with probability ∝ exp(values (B, C + 1)); N + 1 is nothing."""
        uniform = torch.rand(values.shape, generator=generator).clamp_min(1e-12)
        slot = (values - (-uniform.log()).log()).argmax(-1, keepdim=True)
        options = pad(offers, (0, 1), value=self.ITEMS + 1)
        return options.gather(1, slot).squeeze(1)

    def after(self, state: UserState, choices: Tensor, noise: Tensor) -> UserState:
        """The users' next state after choices (B,), N + 1 being nothing, and noise (B, 16)."""
        accepted = (choices <= self.ITEMS).float().unsqueeze(-1)
        rows = (choices - 1).clamp_max(self.ITEMS - 1)
        moved = state.taste + 0.1 * accepted * self.vectors[rows] + 0.015 * noise
        chosen = one_hot(self.category[rows], self.CATEGORIES) * accepted
        return UserState(normalize(moved, dim=-1), 0.9 * state.exposure + chosen)

    def advance(self, state: UserState, choices: Tensor, generator: torch.Generator) -> UserState:
        """Draw the users' next state after choices."""
        return self.after(state, choices, self._normal(generator, *state.taste.shape))

    def catalog(self) -> Catalog:
        """The items, named, with titles and texts."""
        parts = (self.vectors, self.quality, self.category)
        return describe_films(*(part.cpu().numpy() for part in parts))

    def _fit(self, settings: str, users: int, steps: int) -> None:
        """Fit V, or read it from the cache, where it lies by its settings and by this very code."""
        key = f"{settings} {users} {steps} {torch.__version__}".encode()
        key += Path(__file__).read_bytes()
        folder = cache_folder() / "far" / sha256(key).hexdigest()[:32]
        with suppress(OSError, SafetensorError):
            fitted = load_file(folder / "value.safetensors")
            self.bellman_error = float(fitted.pop("bellman_error"))
            self.network.load_state_dict(fitted)
            return
        self.bellman_error = self._iterate(users, steps)
        fitted = {**self.network.state_dict(), "bellman_error": torch.tensor(self.bellman_error)}
        with suppress(OSError), appearing(folder) as part:
            save_tensors(fitted, part / "value.safetensors")

    def _iterate(self, users: int, steps: int) -> float:
        """Fit V by soft value iteration along walks of users; gives the RMS Bellman error."""
        generator = self._generator(3)
        self.network.requires_grad_(True)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-2)
        schedule = OneCycleLR(optimizer, 1e-2, total_steps=steps, pct_start=0.1)
        state = self.new_users(users, generator)
        # Users of every age are in the batch at once, so that no step sees only young ones.
        age = torch.arange(users) % self.SESSION
        errors: list[float] = []
        for step in range(steps):
            offers = self.offers(users, generator)
            values = self.action_values(state, offers)
            loss = (self.value(*state) - values.logsumexp(-1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step >= 0.9 * steps:
                errors.append(float(loss.detach()))
            old = self.advance(state, self.choose(values, offers, generator), generator)
            age = (age + 1) % self.SESSION
            begun, fresh = (age == 0).unsqueeze(1), self.new_users(users, generator)
            state = UserState(*map(torch.where, (begun, begun), fresh, old))
        self.network.requires_grad_(False)
        return float(torch.tensor(errors).mean().sqrt())

    def _generator(self, purpose: int) -> torch.Generator:
        # Different purposes of one seed, and different seeds, must not share their numbers.
        mixed = np.random.SeedSequence([self.seed, purpose]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(mixed[0]) << 31 ^ int(mixed[1]))

    @staticmethod
    def _normal(generator: torch.Generator, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)


fitted_laws = lru_cache(maxsize=4)(FarLaws)
"""The laws of a seed, made once in a process."""


class Far(World):
    """Users who tire, drift, and choose with soft-optimal values.

    Each step draws 20 candidates evenly. Left to themselves, users choose among all of them and
    nothing with probability ∝ exp Q*, as in the logs of
    :class:`~lightrec.simulators.worlds.far_log.FarLog`. A recommender narrows that choice to the
    slate. Users do not learn of it: Q* continues to expect the free choice among 20 later.

    The true reward is the user's own, r of what was chosen; nothing has reward 0. It may be
    negative: an item may be taken for what comes after it. Nobody leaves before ``max_steps``.

    Policies see items in ``item_vectors`` (2001, 37), vector, quality and category, the last 20
    choices in ``history``, N + 1 being nothing, and the candidates. Hidden in ``latent`` are
    ``taste`` (B, 16) and ``exposure`` (B, 20); fatigue and after-effects of the categories stand
    nowhere. Laws: :class:`FarLaws`.

    :param batch_size: sessions B.
    :param seed: of the items and the users' values. These are fitted in some seconds, once: they
        are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``).
    :param laws: already fitted, in place of those that follow from ``seed``.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    """

    declined_enter = True

    def __init__(
        self, batch_size: int, *, seed: int = 0, laws: FarLaws | None = None, **settings: Any
    ) -> None:
        laws = fitted_laws(seed) if laws is None else laws
        category = one_hot(laws.category, laws.CATEGORIES)
        seen = torch.cat([laws.vectors, laws.quality.unsqueeze(1), category], 1)
        super().__init__(
            pad(seen, (0, 0, 1, 0)),
            batch_size,
            latent={"taste": (laws.SIZE,), "exposure": (laws.CATEGORIES,)},
            offer_size=laws.OFFER,
            repeats=True,
            **settings,
        )
        self.laws = deepcopy(laws).to(self.device)

    def begin(self, session: Tensor) -> dict[str, State]:
        """Users who live in one of the categories."""
        key = noise.mix(session, 0)
        home = noise.below(noise.mix(key, 0), self.laws.CATEGORIES).squeeze(1)
        born = self.laws.born(home, noise.normal(noise.mix(key, 1 + self._axes())))
        return {Key.LATENT: born._asdict()}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Choose by Q* from what is shown, tire and drift."""
        user = self.user(state)
        values = self.laws.action_values(user, slate)
        taken = self.pick(state, slate, values[:, :-1], values[:, -1])
        clicked, click = (slate * taken).sum(1), taken.any(1)
        reward = self.laws.reward(user, clicked.unsqueeze(1)) * click.unsqueeze(1)
        drift = noise.normal(noise.mix(noise.mix(self.chance(state), -4), self._axes()))
        after = self.laws.after(user, torch.where(click, clicked, self.num_items + 1), drift)
        changed = {Key.LATENT: after._asdict(), Key.TRUE_REWARD: reward}
        return Response(taken, taken.float(), torch.zeros_like(click), changed)

    def user(self, state: TensorDictBase) -> UserState:
        """The hidden state of the users."""
        return UserState(state[Key.LATENT, "taste"], state[Key.LATENT, "exposure"])

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score (B, 20) by p · (Q* - Q* of nothing), p being the chance of an item shown alone.

        Users' own foresight, hidden state included. Not proven to be the best possible.
        """
        values = self.laws.action_values(self.user(state), state[Key.CANDIDATES])
        gain = values[:, :-1] - values[:, -1:]
        return gain.sigmoid() * gain

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by the reward of a choice, (B, 20)."""
        return self.laws.reward(self.user(state), state[Key.CANDIDATES])

    def catalog(self) -> Catalog:
        """The items; their texts say category, strongest coordinates and quality."""
        return self.laws.catalog()

    def _axes(self) -> Tensor:
        return torch.arange(self.laws.SIZE, device=self.device)
