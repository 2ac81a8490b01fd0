"""Calibration against laws whose reliability is known."""

import math

import pytest
import torch

from lightrec.users.assessment import Reliability


def uniform_binary(count=400_000, power=1.0, bins=20):
    """Truth p, evenly spread; the forecast is p after tempering its logit."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.arange(count) + 0.5) / count
    happened = torch.rand(count, generator=generator) < truth
    return Reliability.of((power * truth.logit()).sigmoid(), happened, bins=bins)


def test_a_perfect_forecast_has_no_error():
    found = uniform_binary()
    # The mean over bins of what a bin's share is off by chance is below 1 / sqrt(4 · 20 000).
    assert found.error < 0.0035
    forecast, share = found.forecast / found.weight, found.happened / found.weight
    torch.testing.assert_close(forecast, share, atol=0.015, rtol=0)


def test_a_tempered_forecast_has_its_closed_form():
    # Of logits doubled, p becomes q = p² / (p² + (1 - p)²), whose integral is
    # p / 2 + log(2 p² - 2 p + 1) / 4. So the mean of |q - p| over an even p is log(2) / 2 - 1 / 4.
    exact = math.log(2) / 2 - 0.25
    assert uniform_binary(power=2.0).error == pytest.approx(exact, abs=0.003)


def test_constant_forecast_is_off_by_its_bias():
    happened = torch.tensor([1.0, 0, 0, 0])
    assert Reliability.of(torch.full((4,), 0.55), happened).error == pytest.approx(0.3)
    weighted = Reliability.of(torch.full((4,), 0.55), happened, torch.tensor([3.0, 1, 1, 1]))
    assert weighted.error == pytest.approx(0.05)


def test_batches_add_up():
    generator = torch.Generator().manual_seed(1)
    p = torch.rand(1000, generator=generator)
    happened = torch.rand(1000, generator=generator) < p
    whole = Reliability.of(p, happened)
    parts = Reliability.of(p[:300], happened[:300]) + Reliability.of(p[300:], happened[300:])
    for name in ("weight", "forecast", "happened"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_padding_is_no_alternative_and_nothing_is_one():
    log_p = torch.tensor([[0.25, 0.0, 0.75], [0.5, 0.25, 0.25]]).log()
    found = Reliability.of_choices(log_p, torch.tensor([2, 0]))
    assert float(found.weight.sum()) == 5
    assert float(found.happened.sum()) == 2
    # At .25 no forecast of three came true, at .5 and .75 the one did.
    assert found.error == pytest.approx((0.75 + 0.5 + 0.25) / 5)


def test_choices_drawn_from_their_own_law_are_calibrated_and_tempered_ones_are_not():
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(100_000, 5, generator=generator)
    choice = torch.multinomial(scores.softmax(1), 1, generator=generator).squeeze(1)
    assert Reliability.of_choices(scores.log_softmax(1), choice).error < 0.003
    assert Reliability.of_choices((2 * scores).log_softmax(1), choice).error > 0.05


def test_nothing_foretold_is_no_error():
    assert Reliability.of(torch.zeros(0), torch.zeros(0)).error == 0
