"""Penalties: rewards that are never positive, for weighted sums."""

from typing import Literal

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.api import PADDING, Key, NotApplicable, RecipeError, Reward, RewardContext, UserReward


class RepetitionPenalty(Reward):
    """Minus the number of times that the accepted items were accepted in the last steps.

    :param window: how many of a history's last steps count.
    """

    def __init__(self, window: int = 20) -> None:
        super().__init__()
        self.window = _window(window)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from -window to 0 for each item."""
        history, slate = transition[Key.HISTORY][:, -self.window :], transition[Key.ACTION]
        same = (history.unsqueeze(2) == slate.unsqueeze(1)) & self.taken(transition).unsqueeze(1)
        return -same.sum((1, 2)).unsqueeze(1).float()


class FatiguePenalty(Reward):
    """Minus the share of the last steps in which an item of the same kind was accepted.

    A kind is a category or, without categories, a set of items with similar vectors.

    :param window: how many of a history's last steps count.
    :param near: the least cosine between the user model's vectors of two items of one kind.
    :param kind: ``vectors``, or ``category`` for the first attribute of the catalog that has 2 to
        40 different values.
    :param category: in place of ``kind``: the attribute of the catalog that is the category.
    :raises RecipeError: where a setting is out of range.
    """

    kinds: Tensor

    def __init__(
        self,
        window: int = 10,
        near: float = 0.5,
        kind: Literal["vectors", "category"] = "vectors",
        category: str | None = None,
    ) -> None:
        super().__init__()
        self.window, self.near = _window(window), near
        self.kind, self.category = kind if category is None else "category", category
        if not -1 <= near <= 1:
            raise RecipeError(f"near is {near}; a cosine lies between -1 and 1.")

    def bind(self, context: RewardContext) -> None:
        """Take the kinds of the items.

        :raises NotApplicable: where the catalog has no such category.
        """
        if self.kind == "vectors":
            kinds = normalize(context.users.choice.vectors, dim=1)
        else:
            if self.category is not None:
                context.item_attribute(self.category)
            if (categories := context.store.categories(self.category)) is None:
                raise NotApplicable(
                    f"The log's items have no attribute {self.category or 'with 2 to 40 values'!r} "
                    "of words: name another category, or go by item vectors."
                )
            kinds = torch.from_numpy(categories)
        # Row N + 1, nothing, must exist, but is never compared.
        self.register_buffer("kinds", torch.cat([kinds, kinds[:1]]))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from -1 to 0 for each item."""
        history = transition[Key.HISTORY][:, -self.window :]
        ours, theirs = self.kinds[transition[Key.ACTION]], self.kinds[history]
        if self.kinds.ndim == 2:
            same = theirs @ ours.mT >= self.near
        else:
            same = (theirs.unsqueeze(2) == ours.unsqueeze(1)) & (ours >= 0).unsqueeze(1)
        there = (history > PADDING) & (history <= len(self.kinds) - 2)
        same &= there.unsqueeze(2) & self.taken(transition).unsqueeze(1)
        return -same.sum((1, 2)).unsqueeze(1).float() / self.window


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


def _window(window: int) -> int:
    if window < 1:
        raise RecipeError(f"window is {window}; give 1 step or more.")
    return window
