"""The world `greed`, in which the next click is the wrong thing to want.

What attracts and what is good are at odds: bait is clicked, leaves people dissatisfied, and
dissatisfied people leave.
"""

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize, pad

from lightrec.api import Catalog, Key, World, noise
from lightrec.simulators.base import Response, State
from lightrec_worlds.texts import Words, describe_bait


def products(users: Tensor, vectors: Tensor, items: Tensor | None = None) -> Tensor:
    """Scalar products of users' vectors (B, D) with those (N + 1, D) of items (B, C), or of all."""
    if items is None:
        return users @ vectors.T
    return (vectors[items] @ users.unsqueeze(2)).squeeze(2)


class BaitWorld(World):
    """A world of items as in :class:`Greed`.

    :param latent: as for :class:`~lightrec.simulators.world.World`.
    :param words: how differently the catalog puts items that are alike, see
        :data:`~lightrec_worlds.texts.Words`.
    """

    TOPICS = 20
    SIZE = 16

    def __init__(
        self,
        batch_size: int,
        seed: int,
        num_items: int,
        *,
        latent: Mapping[str, tuple[int, ...]],
        words: Words = "plain",
        **settings: Any,
    ) -> None:
        draws, size = torch.Generator().manual_seed(seed), self.SIZE
        topics = normalize(torch.randn(self.TOPICS, size, generator=draws), dim=1)
        topic = torch.arange(num_items) % self.TOPICS
        spread = torch.randn(num_items, size, generator=draws) / 4
        quality = 2 * torch.rand(num_items, 1, generator=draws) - 1
        bait = -0.7 * quality + 0.5 * torch.randn(num_items, 1, generator=draws)
        items = torch.cat([normalize(topics[topic] + spread, dim=1), quality, bait], 1)
        super().__init__(pad(items, (0, 0, 1, 0)), batch_size, latent=latent, **settings)
        self.seed, self.words, self.topic = seed, words, topic
        self.topics = topics.to(self.device)
        """(20, 16) unit vectors."""
        self.direction, quality, bait = self.item_vectors.split([size, 1, 1], 1)
        """(N + 1, 16)."""
        self.quality, self.bait = quality.squeeze(1), bait.squeeze(1)
        """(N + 1,) each."""

    def catalog(self) -> Catalog:
        """The items: topic, bait and quality can be read from their titles and texts."""
        return describe_bait(
            self.topic.numpy(),
            self.quality[1:].cpu().numpy(),
            self.bait[1:].cpu().numpy(),
            words=self.words,
            seed=self.seed,
        )


class Greed(BaitWorld):
    """Users whom bait attracts and drives away.

    Items have a direction v in R^16 around one of 20 topics, quality q ~ U(-1, 1) and bait
    b = -.7 q + .5 ε. A user has a taste u, satiation h (0 at first) and satisfaction s = .3 ε, and
    picks item i of a slate with weight exp(ℓᵢ), nothing with weight 1:
    ℓ = 4 u·v + 1.5 b - 2 - 3 max(h·v, 0). After a pick u ← unit(u + .05 v), h ← .85 h + .45 v,
    s ← .9 s + .5 q; after none h ← .85 h, s ← .9 s - .05. Then the user leaves with probability
    sigmoid(-3 - 3 s). A pick has reward 1; what was shown is not shown again.

    Policies see items as (v, q, b) in ``item_vectors`` (1001, 18), and in ``observation`` (B, 35)
    u, h, t / T, a running click rate (.9/.1, from .3) and the last click; t counts steps, T is
    ``max_steps``. Hidden is s, ``satisfaction`` (B,) in ``latent``.

    :param batch_size: sessions B.
    :param seed: of the items. Returns differ by about 3.5 % (standard deviation) between draws; 59
        is the draw, of the first 150, whose returns are nearest those expected of this world.
    :param settings: of :class:`BaitWorld`, among them ``words``.
    """

    ITEMS = 1000

    def __init__(self, batch_size: int, *, seed: int = 59, **settings: Any) -> None:
        vector = (self.SIZE,)
        super().__init__(
            batch_size,
            seed,
            self.ITEMS,
            latent={"taste": vector, "satiation": vector, "satisfaction": (), "rate": ()},
            observation_size=2 * self.SIZE + 3,
            **settings,
        )

    def begin(self, session: Tensor) -> dict[str, State]:
        """Users between two different topics, neither sated nor surely satisfied."""
        key = noise.mix(session, 0)
        one, other = noise.distinct(key, 2, self.TOPICS).unbind(1)
        spots = torch.arange(2, 5 + self.SIZE, device=self.device)
        weight, satisfaction, spread = noise.mix(key, spots).split([2, 1, self.SIZE], 1)
        weight = 0.3 + 0.7 * noise.uniform(weight).float()
        home = weight[:, :1] * self.topics[one] + weight[:, 1:] * self.topics[other]
        taste = normalize(home + 0.2 * noise.normal(spread), dim=1)
        latent = {
            "taste": taste,
            "satiation": torch.zeros_like(taste),
            "satisfaction": 0.3 * noise.normal(satisfaction).squeeze(1),
            "rate": torch.full_like(taste[:, 0], 0.3),
        }
        zero = torch.zeros_like(session)
        return {Key.LATENT: latent, Key.OBSERVATION: self._seen(latent, zero, zero)}

    def logits(self, state: TensorDictBase, items: Tensor | None = None) -> Tensor:
        """The attraction ℓ of items (B, C), or of all in the order 0 to N: (B, N + 1)."""
        latent, bait = state[Key.LATENT], self.bait if items is None else self.bait[items]
        liked, sated = (
            products(latent[name], self.direction, items) for name in ("taste", "satiation")
        )
        return 4 * liked + 1.5 * bait - 2 - 3 * sated.clamp_min(0)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Pick, be satisfied or not, and stay or leave."""
        taken = self.pick(state, slate, self.logits(state, slate))
        value, clicked = taken.float(), (slate * taken).sum(1)
        click = value.sum(1)
        old = state[Key.LATENT]
        # Item 0, nothing, has the direction and the quality 0.
        direction, quality = self.direction[clicked], self.quality[clicked]
        satisfaction = 0.9 * old["satisfaction"] + 0.5 * quality - 0.05 * (1 - click)
        latent = {
            "taste": normalize(old["taste"] + 0.05 * direction, dim=1),
            "satiation": 0.85 * old["satiation"] + 0.45 * direction,
            "satisfaction": satisfaction,
            "rate": 0.9 * old["rate"] + 0.1 * click,
        }
        seen = self._seen(latent, state[Key.STEP] + 1, click.unsqueeze(1))
        changed = {Key.LATENT: latent, Key.OBSERVATION: seen}
        return Response(taken, value, torch.sigmoid(-3 - 3 * satisfaction), changed)

    def rule(self, state: TensorDictBase, factor: float) -> Tensor:
        """Score items (B, N + 1) by p · (1 + factor · (1 - t / T) · q), p the chance of a click.

        In a slate of several, p is the item's weight beside others.
        """
        logits = self.logits(state)
        likely = logits.exp() if self.slate_size > 1 else logits.sigmoid()
        left = 1 - state[Key.STEP] / self.max_steps
        return likely * (1 + factor * left * self.quality)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """The rule again, with what is hidden: quality counts more for whoever may leave.

        p · (1 + f (1 - t / T) e^(-s / 2) q), p = sigmoid(ℓ) and f = 2.5 + 2.5 K, found by trying a
        few values under common random numbers. Not proven to be the best possible.
        """
        left = 1 - state[Key.STEP] / self.max_steps
        need = torch.exp(-0.5 * state[Key.LATENT, "satisfaction"]).unsqueeze(1)
        factor = 2.5 + 2.5 * self.slate_size
        return self.logits(state).sigmoid() * (1 + factor * left * need * self.quality)

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by attraction, whose order is that of the probability of a click."""
        return self.logits(state)

    def _seen(self, latent: dict[str, Tensor], step: Tensor, click: Tensor) -> Tensor:
        """The observation that policies see."""
        parts = [latent["taste"], latent["satiation"], step / self.max_steps]
        return torch.cat([*parts, latent["rate"].unsqueeze(1), click], 1)
