"""Temperature and shift are found again where they were put in."""

import math

import pytest
import torch

from lightrec.users.assessment import NEVER, fit_temperature, tempered


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


def test_a_shift_multiplies_the_odds_of_nothing():
    before, after = (
        tempered(torch.tensor([[0.3, -1.0]]), torch.tensor(1.0), torch.tensor(shift)).exp()[0, -1]
        for shift in (0.0, math.log(3))
    )
    torch.testing.assert_close(after / (1 - after), 3 * before / (1 - before))


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
