"""Limits that a policy keeps on average while it learns, each with a price that rises until it is.

Every limit is a Lagrangian term: the reward gains λ · (measure - least), and λ, never negative,
moves by the rate times what the mean measure falls short of the least one. Where the prices come
to rest, the policy earns as much as it can among those that keep the limits (Altman 1999,
"Constrained Markov decision processes"). Prices and policy would chase each other in circles: so a
part of the price is what is short at present (Stooke et al. 2020, "Responsive safety in
reinforcement learning by PID Lagrangian methods"). Libraries of constrained optimisation ask for
the measures' gradients, which sessions do not have.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, RecipeError, Reward, RewardContext
from lightrec.data.attributes import providers_of
from lightrec.data.share import present_share, summed
from lightrec.rewards.base import Measured
from lightrec_rewards.accepted import checked_share

RECENT: Final = 20
"""Number of batches, about, over which what was short of late is a mean."""
DAMPING: Final = 100
"""Number of batches whose rise of the price is added for what was short of late."""


class Limit(Measured):
    """C measures of slates that should be large enough, on average over steps, each with a price.

    Of what should be small, the measure is the rest: 1 less the share of repeats.
    """

    least: Tensor
    """(C,) float32."""
    total: Tensor
    """(C,) float32: the part of the price that has built up."""
    recent: Tensor
    """(C,) float32: what was short of late."""
    price: Tensor
    """(C,) float32 λ, in units of the reward per unit of the measure."""

    def bind(self, context: RewardContext) -> None:
        """Take what the limit needs to know of the items, and begin with no price.

        :raises NotApplicable: where that is not known.
        """
        least = self.made(context).float()
        self.register_buffer("least", least)
        for name in ("total", "recent", "price"):
            self.register_buffer(name, torch.zeros_like(least))

    @abstractmethod
    def made(self, context: RewardContext) -> Tensor:
        """Take what is known of the items, and give the least measures, (C,) float32."""

    @abstractmethod
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Measure the slates of B transitions, (B, C) float32, as a reward reads them."""

    @abstractmethod
    def prices(self, state: TensorDictBase) -> Tensor:
        """What a slate of each single item earns at the present prices: (B, N + 1) float32."""

    @torch.no_grad()
    def move(self, measured: Tensor, rate: float, largest: float) -> None:
        """Let prices rise where less than the least was measured, (B, C), and fall elsewhere."""
        short = self.least - summed(measured.mean(0)) / present_share().world
        self.total.add_(rate * short).clamp_(0, largest)
        self.recent.lerp_(short, 1 / RECENT)
        self.price.copy_((self.total + rate * DAMPING * self.recent).clamp(0, largest))


class OneShare(Limit):
    """A limit whose one measure is the share of some items among those shown."""

    @abstractmethod
    def counting(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """Which of a state's items (B, K) count: (B, K) bool."""

    def forward(self, transition: TensorDictBase) -> Tensor:
        """The share (B, 1) of those that count."""
        slate = transition[Key.ACTION]
        there = slate != PADDING
        counted = self.counting(transition, slate) & there
        return counted.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)

    def prices(self, state: TensorDictBase) -> Tensor:
        """The price, for items that count."""
        items = torch.arange(state[Key.MASK].shape[1], device=self.price.device)
        return self.price * self.counting(state, items.expand(len(state), -1))


class EqualExposure(Limit):
    """The providers' shares of all that is shown are at least nearly their shares of the worth.

    Then at most ``tolerance`` of all exposure is another provider's due, the distance that
    ``ProviderExposure`` of lightrec-audit calls misplaced.

    :param provider: the items' attribute that names it, such as a maker or a publisher; of a list
        the first. An item without one is its own.
    :param worth: ``events`` for the training events of a provider's items, ``items`` for their
        number.
    :param tolerance: the part of its due that a provider may lack.
    :raises RecipeError: where the tolerance is not from 0 to 1, or there is no such worth.
    """

    owners: Tensor
    """(N + 1,) int64: the provider of each item; that of item 0 is C, nobody."""

    def __init__(self, provider: str, worth: str = "events", tolerance: float = 0.03) -> None:
        super().__init__()
        if worth not in ("events", "items"):
            raise RecipeError(f"worth is {worth!r}; give 'events' or 'items'.")
        self.provider, self.worth = provider, worth
        self.tolerance = checked_share("tolerance", tolerance)

    def made(self, context: RewardContext) -> Tensor:
        """Take the items' providers."""
        owners = providers_of(context.item_attribute(self.provider))
        counts = np.ones(len(owners)) if self.worth == "items" else context.store.popularity()[1:]
        worth = torch.from_numpy(np.bincount(owners, counts)).float()
        self.register_buffer("owners", pad(torch.from_numpy(owners), (1, 0), value=len(worth)))
        return (1 - self.tolerance) * worth / worth.sum()

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Each provider's share of each slate."""
        slate = transition[Key.ACTION]
        shares = torch.zeros(len(slate), len(self.least) + 1, device=slate.device)
        shares.scatter_add_(1, self.owners[slate], torch.ones(slate.shape, device=slate.device))
        return shares[:, :-1] / (slate != PADDING).sum(1, keepdim=True).clamp_min(1)

    def prices(self, state: TensorDictBase) -> Tensor:
        """The prices of the items' providers."""
        return pad(self.price, (0, 1))[self.owners].expand(len(state), -1)


class NewItems(OneShare):
    """The share of items with few training events among those shown is at least so large.

    :param least: of what is shown.
    :param few: training events of a new item at most.
    """

    new: Tensor
    """(N + 1,) bool."""

    def __init__(self, least: float = 0.1, few: int = 10) -> None:
        super().__init__()
        self.wanted, self.few = checked_share("least", least), few

    def made(self, context: RewardContext) -> Tensor:
        """Take the items' training events."""
        self.register_buffer("new", torch.from_numpy(context.store.popularity()) <= self.few)
        return torch.tensor([self.wanted])

    def counting(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """New items."""
        return self.new[items]


class FewRepeats(OneShare):
    """The share of items that the user's history holds, among those shown, is at most so large.

    :param most: of what is shown.
    """

    def __init__(self, most: float = 0.2) -> None:
        super().__init__()
        self.most = checked_share("most", most)

    def made(self, context: RewardContext) -> Tensor:
        """Nothing has to be known."""
        return torch.tensor([1 - self.most])

    def counting(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """Items that are none of the history's."""
        return (items.unsqueeze(2) != state[Key.HISTORY].unsqueeze(1)).all(2)


class Variety(OneShare):
    """The share of items of another kind than the last ones accepted is at least so large.

    :param kind: the items' attribute; of a list the first. An item without one is its own kind.
    :param least: of what is shown.
    :param window: so many last items of the history count.
    """

    kinds: Tensor
    """(N + 2,) int64; of item 0 and of nothing -1."""

    def __init__(self, kind: str, least: float = 0.5, window: int = 5) -> None:
        super().__init__()
        self.kind, self.wanted, self.window = kind, checked_share("least", least), window

    def made(self, context: RewardContext) -> Tensor:
        """Take the items' kinds."""
        kinds = torch.from_numpy(providers_of(context.item_attribute(self.kind)))
        self.register_buffer("kinds", pad(kinds, (1, 1), value=-1))
        return torch.tensor([self.wanted])

    def counting(self, state: TensorDictBase, items: Tensor) -> Tensor:
        """Items of another kind."""
        last = self.kinds[state[Key.HISTORY][:, -self.window :]]
        return (self.kinds[items].unsqueeze(2) != last.unsqueeze(1)).all(2)


class ConstrainedReward(Reward):
    """A reward under limits: what it gives, and what is within each limit times its price.

    Prices move in training mode only, once for each batch of transitions. Policies are judged by
    the reward itself, less what they are short of the limits at the largest price, so that the
    epoch that is chosen keeps them.

    :param reward: what is maximised.
    :param limits: what is kept.
    :param rate: by which prices move, in units of the reward.
    :param largest: price.
    :raises RecipeError: where there is no limit, or the rate or the price is not positive.
    """

    def __init__(
        self, reward: Reward, limits: list[Limit], rate: float = 0.04, largest: float = 10.0
    ) -> None:
        super().__init__()
        if not limits or rate <= 0 or largest <= 0:
            raise RecipeError(
                f"A reward under limits was given {len(limits)} limits, the rate {rate} and the "
                f"largest price {largest}; give a limit at least, and positive numbers."
            )
        self.reward, self.limits = reward, nn.ModuleList(limits)
        self.rate, self.largest = rate, largest

    def bind(self, context: RewardContext) -> None:
        """Bind the reward and the limits."""
        super().bind(context)
        for limit in self.each:
            limit.bind(context)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        total: Tensor = self.reward(transition)
        for limit in self.each:
            measured: Tensor = limit(transition)
            total = total + (measured - limit.least) @ limit.price.unsqueeze(1)
            if self.training:
                limit.move(measured, self.rate, self.largest)
        return total

    @property
    def each(self) -> list[Limit]:
        """The limits."""
        return [limit for limit in self.limits if isinstance(limit, Limit)]

    @property
    def judged(self) -> Reward:
        """The reward without limits."""
        return self.reward.judged

    def watcher(self) -> "Shortfall":
        """Sees how far a policy is short of the limits."""
        return Shortfall(self)

    def progress(self) -> dict[str, Tensor]:
        """The largest price of each limit."""
        return {f"price/{type(limit).__name__}": limit.price.max() for limit in self.each}


class Shortfall:
    """Sees how far a policy that plays is short of limits; a watcher of sessions."""

    def __init__(self, reward: ConstrainedReward) -> None:
        self.limits, self.price = reward.each, reward.largest
        self._sums = [torch.zeros_like(limit.least) for limit in self.limits]
        self._steps = 0

    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Measure the slates of a step."""
        self._steps += int(alive.sum())
        for total, limit in zip(self._sums, self.limits, strict=True):
            total += limit.forward(state)[alive].sum(0)

    def judged(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Add how far the means are ``short`` of the limits, and take its price off the return."""
        means = [total / max(1, self._steps) for total in self._sums]
        pairs = zip(self.limits, means, strict=True)
        short = sum(float((limit.least - mean).clamp_min(0).sum()) for limit, mean in pairs)
        net = metrics["return"] - self.price * short * metrics["length"]
        return {**metrics, "short": short, "return": net, "return_alone": metrics["return"]}
