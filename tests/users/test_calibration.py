"""Calibration: laws of known reliability, and temperature and shift that are found again."""

import math

import pytest
import torch

from lightrec.calibration import calibration_error
from lightrec.users.assessment import (
    NEVER,
    fit_temperature,
    of_alternatives,
    tempered,
)


def binary(probability, happened, weight=1.0):
    """Counts of forecasts (B,) of whether something happened, and as well of whether it did not."""
    laws = torch.stack([1 - probability, probability], 1).log()
    return of_alternatives(laws, happened.long(), weight * torch.ones(len(laws)))


def uniform_binary(count=400_000, power=1.0):
    """Truth p, evenly spread; the forecast is p after tempering its logit."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.arange(count) + 0.5) / count
    happened = torch.rand(count, generator=generator) < truth
    return binary((power * truth.logit()).sigmoid(), happened)


def test_a_tempered_forecast_has_its_closed_form():
    # Of logits doubled, p becomes q = p² / (p² + (1 - p)²), whose integral is
    # p / 2 + log(2 p² - 2 p + 1) / 4. So the mean of |q - p| over an even p is log(2) / 2 - 1 / 4.
    exact = math.log(2) / 2 - 0.25
    assert calibration_error(uniform_binary(power=2.0)) == pytest.approx(exact, abs=0.003)


def test_constant_forecast_is_off_by_its_bias():
    happened = torch.tensor([1.0, 0, 0, 0])
    forecast = torch.full((4,), 0.55)
    assert calibration_error(binary(forecast, happened)) == pytest.approx(0.3)
    weighted = binary(forecast, happened, torch.tensor([3.0, 1, 1, 1]))
    assert calibration_error(weighted) == pytest.approx(0.05)


def test_padding_is_no_alternative_and_nothing_is_one():
    log_p = torch.tensor([[0.25, 0.0, 0.75], [0.5, 0.25, 0.25]]).log()
    found = of_alternatives(log_p, torch.tensor([2, 0]), torch.ones(2))
    assert found.sum(1)[[0, 2]].tolist() == [5, 2]
    # At .25 no forecast of three came true, at .5 and .75 the one did.
    assert calibration_error(found) == pytest.approx((0.75 + 0.5 + 0.25) / 5)


def choices(temperature, shift, count=100_000):
    generator = torch.Generator().manual_seed(0)
    utilities = 2 * torch.randn(count, 4, generator=generator)
    utilities[:1000, 3] = -torch.inf
    law = tempered(utilities, torch.tensor(temperature), torch.tensor(shift))
    return utilities, torch.multinomial(law.exp(), 1, generator=generator).squeeze(1)


def test_found_again():
    utilities, choice = choices(1.7, 0.6)
    found = fit_temperature(utilities, choice, torch.ones(len(choice)))
    assert found == pytest.approx((1.7, 0.6), abs=0.03)


def test_what_is_calibrated_stays_as_it_is():
    utilities, choice = choices(1.0, 0.0, 2000)
    assert fit_temperature(utilities, choice, torch.ones(len(choice))) == (1.0, 0.0)


def test_where_nothing_is_no_alternative_only_the_temperature_is_fitted():
    generator = torch.Generator().manual_seed(0)
    utilities = torch.randn(50_000, 3, generator=generator)
    choice = torch.multinomial((utilities / 2).softmax(1), 1, generator=generator).squeeze(1)
    temperature, shift = fit_temperature(utilities, choice, torch.ones(len(choice)))
    assert temperature == pytest.approx(2, abs=0.1)
    assert shift == NEVER
    log_p = tempered(utilities, torch.tensor(temperature), torch.tensor(shift))
    assert log_p[:, -1].max() < -25
