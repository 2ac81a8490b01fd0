"""Reliability, calibration error and log-loss by hand; temperature and shift, found again."""

import math

import pytest
import torch

from lightrec.calibration import calibration_error, measured, reliability
from lightrec.users.assessment import fit_temperature, of_alternatives
from lightrec.users.choice_model import with_nothing


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


def test_a_tempered_forecast_has_its_closed_form():
    # Of logits doubled, p becomes q = p² / (p² + (1 - p)²), whose integral is
    # p / 2 + log(2 p² - 2 p + 1) / 4. So the mean of |q - p| over an even p is log(2) / 2 - 1 / 4.
    exact = math.log(2) / 2 - 0.25
    truth = (torch.arange(400_000) + 0.5) / 400_000
    forecast = (2.0 * truth.logit()).sigmoid()
    # Of whether something happened, and as well of whether it did not.
    laws, happened = torch.stack([1 - forecast, forecast], 1).log(), torch.rand(400_000) < truth
    counts = of_alternatives(laws, happened.long(), torch.ones(400_000))
    assert calibration_error(counts) == pytest.approx(exact, abs=0.003)


def test_temperature_and_shift_are_found_again():
    utilities = 2 * torch.randn(100_000, 4)
    utilities[:1000, 3] = -torch.inf
    law = with_nothing(utilities / 1.7 - 0.6).log_softmax(1)
    choice = torch.multinomial(law.exp(), 1).squeeze(1)
    found = fit_temperature(utilities, choice, torch.ones(len(choice)))
    assert found == pytest.approx((1.7, 0.6), abs=0.03)
