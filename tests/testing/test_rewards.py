"""Each check of a reward fails for a reward that is wrong in just that."""

import numpy as np
import pytest
import torch
from torch import nn

from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext
from lightrec.testing import RewardChecks


class Right(Reward):
    """The accepted item's worth, times the mean worth of the history."""

    def __init__(self):
        super().__init__()
        self.worth = nn.Embedding(13, 1)

    def forward(self, transition):
        slate, history = transition[Key.ACTION], transition[Key.HISTORY]
        worth = self.worth(slate).squeeze(-1) * self.taken(transition)
        return worth.sum(1, True) * self.past(history)

    def past(self, history):
        known = history > 0
        return (self.worth(history).squeeze(-1) * known).sum(1, True) / known.sum(1, True).clamp(1)


class Changing(Right):
    """One whose rewards are changed by :meth:`change` afterwards."""

    def forward(self, transition):
        return self.change(transition, super().forward(transition))


class InfiniteInTheMiddle(Changing):
    def change(self, transition, rewards):
        return rewards / ~self.taken(transition)[:, 1:2]


class RootOnly(Right):
    @staticmethod
    def taken(transition):
        return transition[Key.TAKEN]


class CountsPadding(Right):
    def past(self, history):
        return self.worth(history).squeeze(-1).mean(1, True)


class MeanOfNone(Changing):
    def change(self, transition, rewards):
        return rewards if self.taken(transition).any() else rewards / 0


class FullSlatesOnly(Changing):
    def change(self, transition, rewards):
        if (transition[Key.ACTION] == 0).any():
            raise IndexError("index -1 is out of range")
        return rewards


class WritesDown(Changing):
    def change(self, transition, rewards):
        transition["reward"] = rewards
        return rewards


class SeedsEverything(Changing):
    def change(self, transition, rewards):
        np.random.seed(0)
        return rewards


class AddsWhatAutocastMadeShorter(Changing):
    def change(self, transition, rewards):
        nothing = torch.nn.functional.linear(rewards, torch.zeros(1, 1))
        return rewards.index_add(0, torch.arange(len(rewards)), nothing)


def test_a_right_one_passes(failing):
    assert failing(RewardChecks(Right)) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (InfiniteInTheMiddle, {"output as declared", "devices"}),
        (RootOnly, {"taken under next"}),
        (CountsPadding, {"padding"}),
        (MeanOfNone, {"output as declared", "rows apart"}),
        (FullSlatesOnly, {"output as declared"}),
        (WritesDown, {"input unchanged"}),
        (SeedsEverything, {"global chance"}),
        (AddsWhatAutocastMadeShorter, {"devices"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(RewardChecks(wrong)) == names


class PaidPrice(Reward):
    """The prices of what is accepted, less a rebate for members."""

    def bind(self, context):
        price = context.item_attribute("price").to_torch().float()
        self.register_buffer("price", nn.functional.pad(price, (1, 0)))
        self.register_buffer("member", context.user_attribute("member").to_torch())

    def forward(self, transition):
        paid = self.of_taken(transition, self.price[transition[Key.ACTION]])
        return paid * (1 - 0.1 * self.member[transition[Key.USER]].float()).unsqueeze(1)


def test_a_reward_may_read_attributes_of_items_and_users(failing):
    assert failing(RewardChecks(PaidPrice)) == set()
    assert not [c for c in RewardChecks(PaidPrice) if c.name == "padding" and c.outcome()[1]]
    none = RewardChecks(PaidPrice, context=lambda: RewardContext())
    assert {c.outcome()[0] for c in none} == {"not applicable"}
