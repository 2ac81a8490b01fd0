"""Each check of a reward fails for a reward that is wrong in just that."""

import numpy as np
import pytest
import torch
from torch import nn

from lightrec.keys import Key
from lightrec.rewards.base import Reward
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


class Double(Changing):
    def change(self, transition, rewards):
        return rewards.double()


class InfiniteInTheMiddle(Changing):
    def change(self, transition, rewards):
        return rewards / ~self.taken(transition)[:, 1:2]


class OnNoDevice(Changing):
    def change(self, transition, rewards):
        return rewards.to("meta")


class RootOnly(Right):
    @staticmethod
    def taken(transition):
        return transition[Key.TAKEN]


class CountsPadding(Right):
    def past(self, history):
        return self.worth(history).squeeze(-1).mean(1, True)


class CentredOverTheBatch(Changing):
    def change(self, transition, rewards):
        return rewards - rewards.mean(0)


class SortsAndForgets(Right):
    def forward(self, transition):
        padding = (transition[Key.HISTORY] == 0).sum(1)
        return super().forward(transition[padding.argsort(stable=True)])


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


class SlowlyChanging(Changing):
    calls = 0

    def change(self, transition, rewards):
        self.calls += 1
        return rewards + self.calls


class UnregisteredTensor(Changing):
    def __init__(self):
        super().__init__()
        self.shift = torch.rand(1)

    def change(self, transition, rewards):
        return rewards + self.shift


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
        (Double, {"output as declared", "nothing there"}),
        (InfiniteInTheMiddle, {"output as declared", "devices"}),
        (RootOnly, {"taken under next"}),
        (CountsPadding, {"padding"}),
        (CentredOverTheBatch, {"rows apart"}),
        (SortsAndForgets, {"rows apart"}),
        (MeanOfNone, {"nothing there", "rows apart"}),
        (FullSlatesOnly, {"nothing there"}),
        (WritesDown, {"input unchanged"}),
        (SlowlyChanging, {"deterministic"}),
        (UnregisteredTensor, {"saved"}),
        (SeedsEverything, {"global chance"}),
        (AddsWhatAutocastMadeShorter, {"devices"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(RewardChecks(wrong)) == names


def test_what_fails_much_fails_this_too(failing):
    assert "devices" in failing(RewardChecks(OnNoDevice))
