"""Learners from a log, against numbers by hand."""

import math

import pytest
import torch
from lightrec_lab.offline import CQL

from tests.learners.losses.rows import DISCOUNT, Level, Rows, batch, softmax
from tests.learners.losses.test_offline import BASELINE, FIRST, SLATES


def test_cql_by_hand():
    policy = Rows(FIRST)
    policy.reads = ("state",)
    settings = {"alpha": 0.3, "loss_function": "l2"}
    learner = CQL(
        policy,
        Level(BASELINE),
        torch.nn.ModuleDict(),
        slate_size=1,
        discount=DISCOUNT,
        settings=settings,
    )
    found = learner.losses(batch(SLATES))
    penalties = [-math.log(softmax(FIRST[row])[SLATES[row][0]]) for row in (0, 1)]
    assert found["loss_cql"].item() == pytest.approx(0.3 * sum(penalties) / 2)
    # Q is the state's level and the policy's logits; TorchRL halves the squares.
    errors = 2.0 + 0.7 - (1.0 + DISCOUNT * (3.0 - 0.4)), 0.5 - 0.4 - 2.0
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 4)
    assert all(value.isfinite().all() for value in found.values())
