"""The world `retention`: sessions within a horizon of days, and whether people come back.

After Cai et al. 2023, "Reinforcing user retention in a billion scale short video recommender
system", and Zhao et al. 2023, "KuaiSim: a comprehensive simulator for recommender systems". The
laws are lightrec's own, and small enough for dynamic programming.
"""

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.api import PADDING, Key, RecipeError, noise
from lightrec.nn.best_slate import best_slate
from lightrec.simulators.base import Response, State
from lightrec_worlds.greed import BaitWorld, products


class Retention(BaitWorld):
    """Users whose satisfaction at the end of a session decides when they come back, and whether.

    Items have a direction v, quality q and bait b, as in
    :class:`~lightrec_worlds.greed.Greed`. A user has a taste u, between two topics, and
    a satisfaction of 0 to ``levels`` - 1; x is its part of the highest. Each step offers candidates
    drawn evenly. Users pick item i of the slate with weight exp(``PULL`` u·v + 1.5 b - 1.5),
    nothing with weight 1. A pick raises satisfaction by one level with probability (1 + q) / 2 and
    else lowers it by one. After every slate the session ends with probability ``END``, and then the
    user is gone for good with probability ``GONE``; else each following day brings him back with
    probability ``BACK``. These three go evenly from x = 0 to x = 1.

    A session of the simulator is the whole horizon of days. The true reward is 1 whenever a user
    comes back within it. It is ``terminated`` when a user is gone for good, ``truncated`` when the
    horizon is over: then nothing is offered any more.

    Policies see items as (v, q, b) in ``item_vectors`` (N + 1, 18), the candidates, and in
    ``observation`` (B, 21) the taste u, the day as part of the horizon, a tenth of the slates shown
    in this session, a running click rate (.9/.1, from .3), the last click, and the last absence as
    part of the horizon. Hidden is satisfaction, ``level`` (B,) in ``latent``.

    The oracle is exact where users are alike and everything is offered (``pull=0`` and
    ``offer_size=num_items``).

    :param batch_size: users B.
    :param seed: of the items.
    :param num_items: N.
    :param horizon: days, the first included.
    :param levels: of satisfaction, at least 3; users begin on one of the three in the middle.
    :param pull: how much taste counts.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where horizon or levels are out of range.
    """

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
        horizon: int = 20,
        levels: int = 9,
        pull: float = PULL,
        max_steps: int = 300,
        **settings: Any,
    ) -> None:
        if horizon < 2 or levels < 3:
            raise RecipeError(
                f"horizon is {horizon} and levels is {levels}; give at least 2 days, so that "
                "somebody can come back, and at least 3 levels of satisfaction."
            )
        single = ("level", "day", "slates", "rate", "click", "absence")
        super().__init__(
            batch_size,
            seed,
            num_items,
            latent={"taste": (self.SIZE,), **dict.fromkeys(single, ())},
            observation_size=self.SIZE + 5,
            max_steps=max_steps,
            offer_size=offer_size,
            repeats=True,
            **settings,
        )
        self.horizon, self.levels, self.pull = horizon, levels, pull
        self.worth = self._worth().to(self.device)
        """(horizon, levels) float32: days to come after a slate, before it is known whether the
        session ends."""

    def begin(self, session: Tensor) -> dict[str, State]:
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
        over = state[Key.LATENT, "day"] >= self.horizon
        return torch.where(over.unsqueeze(1), PADDING, super().offer(state))

    def logits(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """The attraction (B, C) of items (B, C)."""
        liked = products(state[Key.LATENT, "taste"], self.direction, items)
        return self.pull * liked + 1.5 * self.bait[items] - 1.5

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by attraction: by the probability of a pick."""
        return self.logits(state, state[Key.CANDIDATES])

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
        ended = end < self._along(self.END, level)
        leaves = ended & (gone < self._along(self.GONE, level)) & (self.ending != "fixed")
        # The number of days is geometric: the inverse of its distribution function.
        absence = 1 + (days.log() / (1 - self._along(self.BACK, level)).log()).floor()
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
        """Score by what a pick is expected to add to the days to come, averaged over tastes."""
        level = state[Key.LATENT, "level"].long()
        worth = self.worth[state[Key.LATENT, "day"].long().clamp_max(self.horizon - 1)]
        now, up, down = (
            worth.gather(1, (level + step).clamp(0, self.levels - 1).unsqueeze(1))
            for step in (0, 1, -1)
        )
        items = state[Key.CANDIDATES]
        gain = (up + down) / 2 - now + self.quality[items] * (up - down) / 2
        logits = self.logits(state, items).masked_fill(items == PADDING, -torch.inf)
        return best_slate(gain, logits, torch.zeros_like(now), self.slate_size).scores

    def _along(self, ends: tuple[float, float], level: Tensor) -> Tensor:
        """Values that lie evenly between those at the lowest and the highest level."""
        return ends[0] + (ends[1] - ends[0]) * level / (self.levels - 1)

    def _seen(self, latent: dict[str, Tensor]) -> Tensor:
        """The observation that policies see."""
        scales = {"day": self.horizon, "slates": 10, "rate": 1, "click": 1, "absence": self.horizon}
        numbers = [latent[name].unsqueeze(1) / scale for name, scale in scales.items()]
        return torch.cat([latent["taste"], *numbers], 1)

    def _worth(self) -> Tensor:
        """Solve for the days to come under the best slates, over the offers of some users."""
        session = noise.mix(torch.arange(128, device=self.device), 0).unsqueeze(1)
        born = {**self.begin(session), Key.SESSION: session, Key.STEP: 0 * session}
        state = TensorDict(born, batch_size=[len(session)])
        items = self.offer(state)
        logits = self.logits(state, items).cpu().double().repeat(self.levels, 1)
        quality = self.quality[items].cpu().double()
        days, levels = self.horizon, torch.arange(self.levels)
        end, gone, back = (
            self._along(ends, levels.double()) for ends in (self.END, self.GONE, self.BACK)
        )
        up, down = (levels + 1).clamp_max(self.levels - 1), (levels - 1).clamp_min(0)
        worth, value = end.new_zeros(2, days, self.levels)  # after a slate and before one
        nothing = logits.new_zeros(len(logits), 1)
        for day in reversed(range(days)):
            absent = torch.arange(days - day - 1).unsqueeze(1)
            chance = (1 - gone) * back * (1 - back) ** absent
            later = (chance * (1 + value[day + 1 :])).sum(0)
            now = value[min(day + 1, days - 1)]
            change = 1.0
            while change > 1e-7:  # each round leaves 1 - end of it, or less
                after = end * later + (1 - end) * now
                middle, slope = (after[up] + after[down]) / 2 - after, (after[up] - after[down]) / 2
                gain = middle[:, None, None] + slope[:, None, None] * quality
                best = best_slate(gain.flatten(0, 1), logits, nothing, self.slate_size).value
                before, now = now, after + best.view(self.levels, -1).mean(1)
                change = float((now - before).abs().max())
            value[day], worth[day] = now, end * later + (1 - end) * now
        return worth.float()
