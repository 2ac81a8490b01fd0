"""The reward of what an offer is expected to earn."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, NotApplicable, RewardContext, UserReward


class ExpectedValueReward(UserReward):
    """Σ bid · p over a slate, p being the probability that the ad is taken by the user model.

    It is what the advertisers pay for the slate on average. The bid of what was taken has the same
    mean, and more noise.

    :param bid: the ads' attribute with what is paid for an ad that is taken; null counts as 0. In a
        log whose ads have no ``bid`` each counts 1, and the sum is that of clicks.
    """

    bids: Tensor
    """(N + 1,) float32."""

    def __init__(self, bid: str = "bid") -> None:
        super().__init__()
        self.bid = bid

    def bind(self, context: RewardContext) -> None:
        """Take the user model and the bids."""
        super().bind(context)
        try:
            bids = context.item_attribute(self.bid).cast(pl.Float32).fill_null(0).to_torch()
        except NotApplicable:
            if self.bid != "bid":  # somebody named another
                raise
            bids = torch.ones(context.store.num_items)
        self.register_buffer("bids", pad(bids, (1, 0)))

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), in the unit of the bids."""
        history, items, user = self.asked(transition)
        shown = transition[Key.ACTION]
        utilities = self.users.utilities(history, items, user)
        utilities = utilities.masked_fill(shown == PADDING, -torch.inf)
        taken = pad(utilities, (0, 1)).softmax(-1)[:, :-1]
        return (self.bids[shown] * taken).sum(1, keepdim=True)
