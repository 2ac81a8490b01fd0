"""Further rewards by a user model or by an attribute of the items: their worth, or their length."""

from abc import abstractmethod

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import Key, NotApplicable, RecipeError, Reward, RewardContext, UserReward


class ConversionReward(UserReward):
    """The probability that an accepted item has at least a certain value; 0 for nothing.

    Such values are purchases, four stars or more, or films watched for half an hour. They are
    assumed to be normal about the mean that :class:`~lightrec.rewards.accepted.ValueReward` gives.

    :param threshold: in the log's own units.
    """

    needs = "valuing"

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.threshold = threshold

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from 0 to 1 for each item."""
        mean, deviation = self.users.value(*self.asked(transition))
        return self.of_taken(transition, torch.special.ndtr((mean - self.threshold) / deviation))


class ProbabilityLogReward(UserReward):
    """r = p·log p, p being the predicted probability of choosing the accepted item.

    It is 0 at p = 0 and at p = 1, and lowest, -1/e, at p = 1/e: below that a better recommendation
    earns less, and an impossible one earns the most. Since every step costs, it also favours short
    sessions. Summed over a whole set it is minus the entropy: it rewards a predictable user, not a
    pleased one. It is here because the definition is in use.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), at most 0; 0 for nothing."""
        history, _, user = self.asked(transition)
        utilities = self.users.utilities(history, transition[Key.ACTION], user)
        p = pad(utilities, (0, 1)).softmax(1)[:, :-1]
        return self.of_taken(transition, torch.xlogy(p, p))


class UncertaintyPenalty(UserReward):
    """Minus the uncertainty of an ensemble of user models about the answer to a slate, in nats.

    It keeps a policy to what the log knows (Yu et al. 2020, "MOPO"). A simulator's own uncertainty
    under ``next`` is used where there is one.
    """

    needs = "uncertainty"

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), at least minus the logarithm of the number of members."""
        nats: Tensor | None = transition.get(("next", Key.UNCERTAINTY), None)
        if nats is not None:
            return -nats
        user = transition.get(Key.USER, None)
        _, nats = self.users.predict(transition[Key.HISTORY], transition[Key.ACTION], user)
        return -nats.unsqueeze(1)


class AttributeReward(Reward):
    """(1 − weight) · 1 + weight · worth for each item taken, by an attribute of the items.

    :param attribute: of the items.
    :param weight: of its worth, 0 to 1; with 0, items taken are counted.
    :raises RecipeError: where the weight is out of range.
    """

    worth: Tensor
    """(N + 2,) float32: of each item, 0 of padding and of nothing."""

    def __init__(self, attribute: str, weight: float) -> None:
        super().__init__()
        self.attribute = attribute
        self.weight = checked_share(f"The weight of {attribute!r}", weight)

    @abstractmethod
    def worths(self, column: pl.Series) -> Tensor:
        """Worths (N,) float32 of the items, by their attribute.

        :raises NotApplicable: where it tells nothing.
        """

    def bind(self, context: RewardContext) -> None:
        """Take the items' worths."""
        worths = self.worths(context.item_attribute(self.attribute))
        self.register_buffer("worth", pad((1 - self.weight) + self.weight * worths, (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        return self.of_taken(transition, self.worth[transition[Key.ACTION]])


class LengthReward(UserReward):
    """The expected value of an accepted item by its length, from 0 to 1.

    Values are what people spend on an item, such as seconds of watching or reading. Their sum pays
    for long items, and their share of an item's own length for short ones: so the reward is a mean
    of that share and of the one of the longest item's length.

    :param attribute: of the items, how long they are; one of unknown length gives 0.
    :param unit: how much value a unit of length takes.
    :param completion: how much the share of the item's own length counts, 0 to 1.
    :raises RecipeError: where ``completion`` is not from 0 to 1.
    """

    needs = "valuing"
    lengths: Tensor
    """(N + 1,) float32, in the unit of values; infinite where that is not known."""

    def __init__(self, attribute: str, unit: float = 1.0, completion: float = 1.0) -> None:
        super().__init__()
        self.attribute, self.unit = attribute, unit
        self.completion = checked_share("completion", completion)

    def bind(self, context: RewardContext) -> None:
        """Take the user model and the items' lengths."""
        super().bind(context)
        stated = context.item_attribute(self.attribute).cast(pl.Float32).fill_null(0.0).to_torch()
        lengths = torch.where(stated > 0, stated * self.unit, torch.inf)
        self.register_buffer("lengths", pad(lengths, (1, 0), value=torch.inf))

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        history, items, user = self.asked(transition)
        spent, _ = self.users.value(history, items, user)
        length = self.lengths[items]
        spent = spent.clamp(min=0).minimum(length).where(length.isfinite(), 0.0)
        longest = self.lengths[self.lengths.isfinite()].max()
        worth = self.completion * spent / length + (1 - self.completion) * spent / longest
        return self.of_taken(transition, worth)


def checked_share(name: str, value: float) -> float:
    """The value, where it lies between 0 and 1.

    :raises RecipeError: where it does not.
    """
    if not 0 <= value <= 1:
        raise RecipeError(f"{name} is {value}; it is a share, from 0 to 1.")
    return value


def to_amounts(column: pl.Series, largest: float, expected: str) -> Tensor:
    """Read numbers of 0 or more, (N,) float32; NaN where there is none.

    :param expected: what they are, for the message.
    :raises NotApplicable: where one is no number from 0 to the largest.
    """
    amounts = column.cast(pl.Float64, strict=False)
    good = amounts.is_between(0, largest) | amounts.is_nan()
    if bad := ((amounts.is_null() & column.is_not_null()) | ~good).sum():
        raise NotApplicable(
            f"The attribute {column.name!r} is to be {expected}, and {bad} of {len(column)} items "
            "have something else: correct the table, or name another attribute."
        )
    return torch.tensor(amounts.fill_null(float("nan")).to_numpy(), dtype=torch.float32)
