"""A policy that looks at nobody, and the data module that makes it."""

import torch
from torch import nn

from lightrec.keys import Key
from lightrec.learners.policy_data import PolicyData
from lightrec.policies.base import LearnedPolicy, among_candidates


class Habit(LearnedPolicy):
    """Learns one score an item."""

    feature_size = 2

    def __init__(self, num_items: int) -> None:
        super().__init__(num_items)
        self.scale = nn.Parameter(torch.zeros(num_items + 1))

    def session_features(self, state):
        return torch.cat([state[Key.STEP].float(), state[Key.ACCEPTED_TOTAL]], -1) / 10

    def logits(self, state):
        return among_candidates(state, self.scale.expand(*state[Key.STEP].shape[:-1], -1))


class HabitData(PolicyData):
    """User model A, in which a habit is to be learned."""

    def make_policy(self, settings):
        return Habit(self.num_items)
