"""Calibration: laws of known reliability, and temperature and shift that are found again."""

import math

import pytest
import torch

from lightrec.calibration import calibration_error
from lightrec.users.assessment import fit_temperature, of_alternatives
from lightrec.users.choice_model import with_nothing


def binary(probability, happened, weight=1.0):
    """Counts of forecasts (B,) of whether something happened, and as well of whether it did not."""
    laws = torch.stack([1 - probability, probability], 1).log()
    return of_alternatives(laws, happened.long(), weight * torch.ones(len(laws)))


def test_a_tempered_forecast_has_its_closed_form():
    # Of logits doubled, p becomes q = p² / (p² + (1 - p)²), whose integral is
    # p / 2 + log(2 p² - 2 p + 1) / 4. So the mean of |q - p| over an even p is log(2) / 2 - 1 / 4.
    exact = math.log(2) / 2 - 0.25
    truth = (torch.arange(400_000) + 0.5) / 400_000
    forecast = (2.0 * truth.logit()).sigmoid()
    found = calibration_error(binary(forecast, torch.rand(400_000) < truth))
    assert found == pytest.approx(exact, abs=0.003)


def test_temperature_and_shift_are_found_again():
    utilities = 2 * torch.randn(100_000, 4)
    utilities[:1000, 3] = -torch.inf
    law = with_nothing(utilities / 1.7 - 0.6).log_softmax(1)
    choice = torch.multinomial(law.exp(), 1).squeeze(1)
    found = fit_temperature(utilities, choice, torch.ones(len(choice)))
    assert found == pytest.approx((1.7, 0.6), abs=0.03)
