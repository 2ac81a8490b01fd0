"""The worth of showing seldom seen people."""

import numpy as np
import torch
from lightrec_audit.exposure import events_of_providers
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import Key, RecipeError, Reward, RewardContext
from lightrec_social.domain import MAKER


class ExposureReward(Reward):
    """1 for an accepted item, and a bonus that its maker's training events make smaller.

    The bonus is ``bonus`` / √(1 + c) for a maker whose items have c training events. People who
    post are users, too: who is never seen stops posting.

    :param bonus: for a maker without any event.
    :raises RecipeError: where it is below 0.
    """

    worth: Tensor
    """(N + 2,) float32: of each item, 0 of padding and of nothing."""

    def __init__(self, bonus: float = 1.0) -> None:
        super().__init__()
        if bonus < 0:
            raise RecipeError(f"The bonus for seldom seen makers is {bonus}; give 0 or more.")
        self.bonus = bonus

    def bind(self, context: RewardContext) -> None:
        """Count the events of the items' makers; an item without a maker is its own.

        :raises NotApplicable: where there is no log.
        """
        makers, counts = events_of_providers(context.store, MAKER)
        bonus = self.bonus / np.sqrt(1 + counts[makers])
        worth = torch.from_numpy(1 + bonus).float()
        self.register_buffer("worth", torch.nn.functional.pad(worth, (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1)."""
        return self.of_taken(transition, self.worth[transition[Key.ACTION]])
