"""Each check of a user tower fails for a tower that is wrong in just that."""

import pytest
import torch
from torch import nn

from lightrec.nn.towers import UserTower
from lightrec.testing import TowerChecks


class Right(UserTower):
    """The sum of the past, through a matrix."""

    def __init__(self, size):
        super().__init__()
        self.out = nn.Linear(size, size)

    def kept(self, x, present):
        return x * present[..., None]

    def forward(self, x, present):
        return self.out(self.kept(x, present).cumsum(1))


class Changing(Right):
    """One whose vectors are changed by :meth:`change` afterwards."""

    def forward(self, x, present):
        return self.change(super().forward(x, present), x, present)


class MeanOfNone(Changing):
    def change(self, vectors, x, present):
        there = present.cumsum(1)[..., None]
        return vectors * (there / there)


class SeesTheNext(Changing):
    def change(self, vectors, x, present):
        return vectors + nn.functional.pad(vectors[:, 1:], (0, 0, 0, 1)).tanh()


class ForgetsThePast(Right):
    def forward(self, x, present):
        return self.out(self.kept(x, present))


class CountsFromTheLeft(Changing):
    def change(self, vectors, x, present):
        return vectors + torch.arange(x.shape[1])[:, None]


class ReadsPadding(Right):
    def kept(self, x, present):
        return x


class CentredOverTheBatch(Changing):
    def change(self, vectors, x, present):
        return vectors - self.kept(x, present).cumsum(1).mean(0)


class SlowlyChanging(Changing):
    last = None

    def change(self, vectors, x, present):
        again = self.last is not None and torch.equal(self.last, x)
        self.last = x
        return vectors + again


class LastWithoutThePast(Right):
    def last_only(self, x, present):
        return self(x[:, -1:], present[:, -1:])[:, 0]


class UnusedWeight(Right):
    def __init__(self, size):
        super().__init__(size)
        self.more = nn.Parameter(torch.zeros(3))


def test_a_right_one_passes(failing):
    assert failing(TowerChecks(Right)) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (MeanOfNone, {"output as declared", "devices"}),
        (SeesTheNext, {"future"}),
        (ForgetsThePast, {"past"}),
        (CountsFromTheLeft, {"padding"}),
        (ReadsPadding, {"padding"}),
        (CentredOverTheBatch, {"rows apart"}),
        (SlowlyChanging, {"deterministic"}),
        (LastWithoutThePast, {"last only"}),
        (UnusedWeight, {"gradients"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(TowerChecks(wrong)) == names
