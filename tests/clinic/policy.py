"""A policy that looks at nobody."""

import torch
from torch import nn

from lightrec.keys import Key
from lightrec.policies.base import LearnedPolicy, among_candidates


class Habit(LearnedPolicy):
    """Learns one score an item.

    :param first: the score of the first item before anything is learned; all others have 0.
    """

    feature_size = 2

    def __init__(self, num_items: int, first: float = 0.0) -> None:
        super().__init__(num_items)
        self.scale = nn.Parameter(torch.zeros(num_items + 1))
        self.scale.data[1] = first

    def session_features(self, state):
        return torch.cat([state[Key.STEP].float(), state[Key.ACCEPTED_TOTAL]], -1) / 10

    def logits(self, state):
        return among_candidates(state, self.scale.expand(*state[Key.STEP].shape[:-1], -1))
