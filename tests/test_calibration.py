"""Reliability in groups of equal size, calibration error and log-loss, by hand."""

import math

import pytest
import torch

from lightrec.calibration import calibration_error, measured, reliability


def test_groups_of_equal_size_by_hand():
    forecast = torch.tensor([0.8, 0.2, 0.2, 0.2, 0.8, 0.2])
    happened = torch.tensor([0.0, 0, 0, 0, 1, 1])
    counts = reliability(forecast, happened, groups=2)
    # Equal forecasts stay in their order: the last of .2 goes with those of .8.
    assert counts.flatten().tolist() == pytest.approx([3, 3, 0.6, 1.8, 0, 2])
    assert calibration_error(counts) == pytest.approx((0.2 + 0.2 / 3) / 2)


def test_log_loss_of_ignorance_and_of_one_error_for_sure():
    metrics = measured(torch.full((20,), 0.5), torch.arange(20) % 2)
    assert metrics == pytest.approx({"log_loss": math.log(2), "calibration_error": 0.0})
    metrics = measured(torch.ones(1), torch.zeros(1))
    assert metrics["log_loss"] == pytest.approx(-math.log(1e-7))
    assert metrics["calibration_error"] == 1
