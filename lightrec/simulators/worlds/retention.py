"""The world `retention`: sessions within a horizon of days, and whether people come back.

After published work on retention (Cai et al. 2023, "Reinforcing user retention in a billion scale
short video recommender system"; Zhao et al. 2023, "KuaiSim: a comprehensive simulator for
recommender systems"), whose simulators also join sessions by days of absence. The laws are
lightrec's own, and small enough for dynamic programming.
"""

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.data.catalog import Catalog
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Column, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Ending, Pay, Response
from lightrec.simulators.world import World
from lightrec.simulators.worlds.texts import describe_bait


def slate_scores(weight: Tensor, gain: Tensor, size: int) -> Tensor:
    """Score items so that the highest ``size`` make the slate of highest expected gain.

    One item of a slate, or none, is picked with weight ``weight``, none with 1. The best mean gain
    per slate λ is where the highest ``size`` of weight · (gain - λ) sum to λ (Dinkelbach 1967, "On
    nonlinear fractional programming"); those are the scores.

    :param weight: (..., C), 0 for what may not be shown.
    :param gain: (..., C), broadcast against ``weight``.
    :returns: (..., C).
    """
    rate = torch.zeros_like(weight[..., :1])
    for _ in range(5):
        rate = best_gain(weight, gain, size, rate)
    return (weight * (gain - rate)).masked_fill(weight == 0, -torch.inf)


def best_gain(weight: Tensor, gain: Tensor, size: int, rate: Tensor) -> Tensor:
    """Take one step of Dinkelbach's towards the highest mean gain λ: (..., 1)."""
    weight, gain = torch.broadcast_tensors(weight, gain)
    best = (weight * (gain - rate)).topk(size, -1).indices
    shown = weight.gather(-1, best)
    return (shown * gain.gather(-1, best)).sum(-1, True) / (1 + shown.sum(-1, True))


def after_step(
    weight: Tensor,
    quality: Tensor,
    size: int,
    *,
    end: Tensor,
    gone: Tensor,
    back: Tensor,
    days: int,
) -> Tensor:
    """Give the expected days to come after a slate, under the best slates from then on.

    :param weight: (M, C) float64 weights of M offers.
    :param quality: (M, C): a pick raises satisfaction with probability (1 + quality) / 2, and else
        lowers it, by one level.
    :param size: places K of a slate.
    :param end: (L,) probability by level that the session ends after a slate.
    :param gone: (L,) probability that the end of a session is the end of all.
    :param back: (L,) probability that a day of absence is the last.
    :param days: the horizon D.
    :returns: (D, L) float64; the session may or may not have ended with that slate.
    """
    levels = len(end)
    up = torch.arange(1, levels + 1, device=end.device).clamp_max(levels - 1)
    down = torch.arange(-1, levels - 1, device=end.device).clamp_min(0)
    worth = end.new_zeros(days, levels)  # after a slate
    value = end.new_zeros(days, levels)  # before one
    rate = end.new_zeros(levels, len(weight), 1)
    for day in reversed(range(days)):
        absent = torch.arange(days - day - 1, device=end.device).unsqueeze(1)
        chance = (1 - gone) * back * (1 - back) ** absent
        later = (chance * (1 + value[day + 1 :])).sum(0)
        now = value[min(day + 1, days - 1)]
        change = 1.0
        while change > 1e-7:  # each round leaves 1 - end of it, or less
            after = end * later + (1 - end) * now
            middle, slope = (after[up] + after[down]) / 2 - after, (after[up] - after[down]) / 2
            gain = middle[:, None, None] + slope[:, None, None] * quality
            rate = best_gain(weight, gain, size, rate)
            before, now = now, after + rate.mean((1, 2))
            change = float((now - before).abs().max())
        value[day], worth[day] = now, end * later + (1 - end) * now
    return worth


class Retention(World):
    """Users whose satisfaction at the end of a session decides when they come back, and whether.

    Items have a direction v in R^16 around one of 20 topics, quality q ~ U(-1, 1) and bait
    b = -.7 q + .5 ε. A user has a taste u, between two topics, and a satisfaction of 0 to
    ``levels`` - 1; x is its part of the highest. Each step offers candidates drawn evenly. Users
    pick item i of the slate with weight exp(``PULL`` u·v + 1.5 b - 1.5), nothing with weight 1. A
    pick raises satisfaction by one level with probability (1 + q) / 2 and else lowers it by one.
    After every slate the session ends with probability ``END``, and then the user is gone for good
    with probability ``GONE``; else each following day brings him back with probability ``BACK``.
    These three go evenly from x = 0 to x = 1.

    A session of the simulator is the whole horizon of days. The true reward is 1 whenever a user
    comes back within it, which makes days on which people come. It is ``terminated`` when a user is
    gone for good, ``truncated`` when the horizon is over: then nothing is offered any more.

    Policies see items as (v, q, b) in ``item_vectors`` (N + 1, 18), the candidates, and in
    ``observation`` (B, 21) the taste u, the day as part of the horizon, a tenth of the slates shown
    in this session, a running click rate (.9/.1, from .3), the last click, and the last absence as
    part of the horizon. Hidden is satisfaction, ``level`` (B,) in ``latent``.

    The oracle is exact where users are alike and everything is offered (``pull=0`` and
    ``offer_size=num_items``), the tabular twin; see
    :mod:`lightrec.simulators.worlds.retention`.

    :param batch_size: users B.
    :param seed: of the items.
    :param num_items: N.
    :param horizon: days, the first included.
    :param levels: of satisfaction, at least 3; users begin on one of the three in the middle.
    :param pull: how much taste counts.
    :param reward: from transitions to rewards (B, 1), in place of the true one.
    :raises RecipeError: where horizon or levels are out of range.
    """

    TOPICS = 20
    SIZE = 16
    PULL = 4.0
    END = (0.35, 0.15)
    """Probability that a session ends after a slate, at the lowest and the highest satisfaction."""
    GONE = (0.3, 0.0)
    """Probability that the end of a session is the end of all."""
    BACK = (0.1, 0.9)
    """Probability that a day of absence is the last one."""

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        num_items: int = 500,
        offer_size: int = 20,
        slate_size: int = 1,
        horizon: int = 20,
        levels: int = 9,
        pull: float = PULL,
        max_steps: int = 300,
        history_length: int = 20,
        ending: Ending = "leave",
        reward: Pay | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if horizon < 2 or levels < 3:
            raise RecipeError(
                f"horizon is {horizon} and levels is {levels}; give at least 2 days, so that "
                "somebody can come back, and at least 3 levels of satisfaction."
            )
        draws = torch.Generator().manual_seed(seed)
        topics = normalize(torch.randn(self.TOPICS, self.SIZE, generator=draws), dim=1)
        self.topic = torch.arange(num_items) % self.TOPICS
        spread = torch.randn(num_items, self.SIZE, generator=draws) / 4
        quality = 2 * torch.rand(num_items, 1, generator=draws) - 1
        bait = -0.7 * quality + 0.5 * torch.randn(num_items, 1, generator=draws)
        items = torch.cat([normalize(topics[self.topic] + spread, dim=1), quality, bait], 1)
        single = ("level", "day", "slates", "rate", "click", "absence")
        super().__init__(
            torch.cat([torch.zeros(1, self.SIZE + 2), items]),
            batch_size,
            latent={"taste": (self.SIZE,), **dict.fromkeys(single, ())},
            observation_size=self.SIZE + 5,
            reward=reward,
            slate_size=slate_size,
            max_steps=max_steps,
            history_length=history_length,
            ending=ending,
            offer_size=offer_size,
            repeats=True,
            device=device,
        )
        self.horizon, self.levels, self.pull = horizon, levels, pull
        self.topics = topics.to(self.device)
        self.direction, quality, bait = self.item_vectors.split([self.SIZE, 1, 1], 1)
        self.quality, self.bait = quality.squeeze(1), bait.squeeze(1)
        self.worth = self._worth().to(self.device)
        """(horizon, levels) float32: days to come after a slate, before it is known whether the
        session ends."""

    def begin(self, session: Tensor) -> dict[str, Tensor | TensorDictBase]:
        """Users on their first day."""
        key = noise.mix(session, 0)
        one, other = noise.distinct(key, 2, self.TOPICS).unbind(1)
        axes = torch.arange(self.SIZE, device=self.device)
        spread = 0.2 * noise.normal(noise.mix(key, 3 + axes))
        level = self.levels // 2 - 1 + noise.below(noise.mix(key, 2), 3).squeeze(1).float()
        zero = torch.zeros_like(level)
        latent = {
            "taste": normalize(self.topics[one] + self.topics[other] + spread, dim=1),
            "level": level,
            **dict.fromkeys(("day", "slates", "click", "absence"), zero),
            "rate": zero + 0.3,
        }
        return {Key.LATENT: latent, Key.OBSERVATION: self._seen(latent)}

    def offer(self, state: TensorDictBase) -> Tensor:
        """Draw different items evenly; nothing once the horizon is over."""
        items = super().offer(state)
        over = state[Key.LATENT, "day"] >= self.horizon
        return torch.where(over.unsqueeze(1), PADDING, items)

    def logits(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """Give the attraction (B, C) of items (B, C)."""
        liked = self.direction[items] @ state[Key.LATENT, "taste"].unsqueeze(2)
        return self.pull * liked.squeeze(2) + 1.5 * self.bait[items] - 1.5

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by attraction: by the probability of a pick."""
        return self.logits(state, state[Key.CANDIDATES])

    def along(self, ends: tuple[float, float], level: Tensor) -> Tensor:
        """Give what lies evenly between its values at the lowest and the highest level."""
        return ends[0] + (ends[1] - ends[0]) * level / (self.levels - 1)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Pick, be satisfied or not, and perhaps go, for days or for good."""
        old = state[Key.LATENT]
        taken = self.pick(state, slate, self.logits(state, slate))
        value, clicked = taken.float(), (slate * taken).sum(1)
        click = value.sum(1)
        counters = torch.arange(-7, -3, device=self.device)
        rise, end, gone, days = noise.uniform(noise.mix(self.chance(state), counters)).unbind(1)
        better = rise < (1 + self.quality[clicked]) / 2
        level = (old["level"] + click * torch.where(better, 1, -1)).clamp(0, self.levels - 1)
        ended = end < self.along(self.END, level)
        leaves = ended & (gone < self.along(self.GONE, level)) & (self.ending == "leave")
        # The number of days is geometric: the inverse of its distribution function.
        absence = 1 + (days.log() / (1 - self.along(self.BACK, level)).log()).floor()
        day = (old["day"] + absence.float() * ended).clamp_max(self.horizon)
        latent = {
            "taste": old["taste"],
            "level": level,
            "day": day,
            "slates": torch.where(ended, 0, old["slates"] + 1),
            "rate": 0.9 * old["rate"] + 0.1 * click,
            "click": click,
            "absence": torch.where(ended, day - old["day"], old["absence"]),
        }
        returned = ended & ~leaves & (day < self.horizon)
        changed = {
            Key.LATENT: latent,
            Key.OBSERVATION: self._seen(latent),
            Key.TRUE_REWARD: returned.float().unsqueeze(1),
        }
        return Response(taken, value, leaves, changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score by what a pick is expected to add to the days to come, satisfaction known.

        Optimal where users are alike; otherwise values are averages over tastes.
        """
        level = state[Key.LATENT, "level"].long()
        worth = self.worth[state[Key.LATENT, "day"].long().clamp_max(self.horizon - 1)]
        now, up, down = (
            worth.gather(1, (level + step).clamp(0, self.levels - 1).unsqueeze(1))
            for step in (0, 1, -1)
        )
        items = state[Key.CANDIDATES]
        gain = (up + down) / 2 - now + self.quality[items] * (up - down) / 2
        weight = self.logits(state, items).exp().masked_fill(items == PADDING, 0)
        return slate_scores(weight, gain, self.slate_size)

    def _seen(self, latent: dict[str, Tensor]) -> Tensor:
        """Put together what policies see."""
        scales = {"day": self.horizon, "slates": 10, "rate": 1, "click": 1, "absence": self.horizon}
        numbers = [latent[name].unsqueeze(1) / scale for name, scale in scales.items()]
        return torch.cat([latent["taste"], *numbers], 1)

    def _worth(self) -> Tensor:
        """Solve for the values, over the offers that some users meet at first."""
        session = noise.mix(torch.arange(128, device=self.device), 0).unsqueeze(1)
        born = self.begin(session)
        state = TensorDict(
            {Key.LATENT: born[Key.LATENT], Key.SESSION: session, Key.STEP: 0 * session},
            batch_size=[len(session)],
        )
        items = self.offer(state)
        levels = torch.arange(self.levels, dtype=torch.float64)
        end, gone, back = (self.along(ends, levels) for ends in (self.END, self.GONE, self.BACK))
        return after_step(
            self.logits(state, items).cpu().double().exp(),
            self.quality[items].cpu().double(),
            self.slate_size,
            end=end,
            gone=gone,
            back=back,
            days=self.horizon,
        ).float()

    def catalog(self) -> Catalog:
        """The items: topic, bait and quality can be read from their titles and texts."""
        titles, texts = describe_bait(
            self.topic.numpy(), self.quality[1:].cpu().numpy(), self.bait[1:].cpu().numpy()
        )
        names = [f"item-{index:04d}" for index in range(1, self.num_items + 1)]
        return Catalog(pl.DataFrame({Column.ITEM: names, Column.TITLE: titles, Column.TEXT: texts}))
