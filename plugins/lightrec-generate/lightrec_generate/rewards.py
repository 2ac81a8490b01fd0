"""Rewards of whole slates, which no likelihood of the next item can express."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, NotApplicable, Reward, RewardContext
from lightrec.data.attributes import lists


class GainReward(Reward):
    """The gain of what was taken, 1 / log2(1 + place): the DCG of the slate.

    :param least: what was taken counts by its value less this, such as stars less 3, so that what
        people came to dislike is better not shown; None: everything counts 1.
    """

    def __init__(self, least: float | None = None) -> None:
        super().__init__()
        self.least = least

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1).

        :raises NotApplicable: where values are to count, and the transition has none.
        """
        slate = transition[Key.ACTION]
        gain = 1 / torch.arange(2, slate.shape[1] + 2, device=slate.device).log2()
        if self.least is not None:
            value = transition.get(("next", Key.VALUE), transition.get(Key.VALUE, None))
            if value is None:
                raise NotApplicable(
                    "The gain is to go by values, and nobody says what was taken is worth: leave "
                    "out `least`, or train where values are known."
                )
            gain = gain * (value - self.least)
        return self.of_taken(transition, gain.expand(slate.shape))


class NoveltyReward(Reward):
    """The mean novelty of the items shown, from 0 to 1: how rarely each was chosen in training.

    An item's novelty is -log p, p being its share of the training events, in units of that of an
    item that was chosen once (self-information, Zhou et al. 2010; Vargas and Castells 2011).
    """

    novelty: Tensor
    """(N + 2,) float32; 0 of padding and of nothing."""

    def bind(self, context: RewardContext) -> None:
        """Count how often items were chosen."""
        counts = torch.from_numpy(context.store.popularity())[1:].clamp_min(1).double()
        total = counts.sum().clamp_min(2)
        self.register_buffer("novelty", pad(1 - counts.log() / total.log(), (1, 1)).float())

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        slate = transition[Key.ACTION]
        shown = (slate != PADDING).sum(1, keepdim=True).clamp_min(1)
        return self.novelty[slate].sum(1, keepdim=True) / shown


class DiversityReward(Reward):
    """The diversity of a slate's items, from 0 to 1 (Ziegler et al. 2005).

    It is 1 less the mean, over pairs of items, of the share of their attribute's values that both
    have (Jaccard). Slates of fewer than two items have 0.

    :param attribute: of the items, of words or lists of words, such as ``genres``.
    """

    values: Tensor
    """(N + 2, V) float32: which values an item has."""

    def __init__(self, attribute: str = "genres") -> None:
        super().__init__()
        self.attribute = attribute

    def bind(self, context: RewardContext) -> None:
        """Take the items' values.

        :raises NotApplicable: where the items have no such attribute.
        """
        column = context.item_attribute(self.attribute)
        rows = pl.DataFrame({"item": range(1, len(column) + 1), "value": lists(column)})
        rows = rows.explode("value").drop_nulls()
        rows = rows.with_columns(pl.col("value").rank("dense").cast(pl.Int64) - 1)
        values = torch.zeros(len(column) + 2, int(rows["value"].max() or 0) + 1)  # type: ignore[arg-type]
        values[rows["item"].to_torch(), rows["value"].to_torch()] = 1
        self.register_buffer("values", values)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        slate = transition[Key.ACTION]
        values, shown = self.values[slate], (slate != PADDING).float()
        common, sizes = values @ values.mT, values.sum(-1)
        either = sizes.unsqueeze(1) + sizes.unsqueeze(2) - common
        pairs = (shown.unsqueeze(1) * shown.unsqueeze(2)).triu(1)
        alike = (common / either.clamp_min(1) * pairs).sum((1, 2))
        count = pairs.sum((1, 2))
        diversity: Tensor = (1 - alike / count.clamp_min(1)).where(count > 0, 0.0)
        return diversity.unsqueeze(1)


class WholeSlate(Reward):
    """The mean over the items shown of what another reward pays, were each of them taken.

    So a log's slates, of which at most one item was taken, can be paid by a learned reward or by
    an attribute.

    :param reward: pays for each item taken, such as ``LearnedReward``.
    """

    def __init__(self, reward: Reward) -> None:
        super().__init__()
        self.reward = reward

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        shown = transition[Key.ACTION] != PADDING
        paid: Tensor = self.reward(transition.exclude("next").set(Key.TAKEN, shown))
        return paid / shown.sum(1, keepdim=True).clamp_min(1)
