"""What a step of listening is worth: favourites, discoveries, and what was heard just now."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.rewards.base import Reward


class DiscoveryReward(Reward):
    """1 for an accepted favourite, another worth for a discovery, and less for what just played.

    A favourite is in the history. Listeners take favourites readily, so that a policy paid by
    accepted items alone shows little else; this reward says what a discovery is worth in
    favourites.

    :param discovery: worth of an accepted item that is not in the history.
    :param tired: worth of one that is among the last steps.
    :param rest: how many steps those are.
    :raises RecipeError: where ``rest`` is below 0.
    """

    def __init__(self, discovery: float = 2.0, tired: float = 0.25, rest: int = 5) -> None:
        super().__init__()
        if rest < 0:
            raise RecipeError(f"rest is {rest}; give the number of last steps, 0 or more.")
        self.discovery, self.tired, self.rest = discovery, tired, rest

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        same = (history[:, None] == slate[:, :, None]) & (slate != PADDING)[:, :, None]
        known = same.any(2)
        just = same[:, :, max(history.shape[1] - self.rest, 0) :].any(2)
        worth = torch.where(known, 1.0, self.discovery).masked_fill(just, self.tired)
        return self.of_taken(transition, worth)
