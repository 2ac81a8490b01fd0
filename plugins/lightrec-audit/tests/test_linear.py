"""The linear reward against closed forms, an independent fit, and its own intervals' coverage."""

import math

import pytest
import torch
from lightrec_audit.linear import LinearSets, fit_linear, linear_log_likelihood

from lightrec.errors import DataError


def sets(features, choice, user=None, offset=None, weight=None):
    rows, places = features.shape[:2]
    return LinearSets(
        features,
        torch.zeros(rows, places) if offset is None else offset,
        choice,
        torch.ones(rows) if weight is None else weight,
        torch.arange(rows) if user is None else user,
    )


def drawn(rows, weights, seed, offset=None):
    """Sets of three whose choices follow a linear reward and an offset."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 3, len(weights), generator=generator)
    scores = features @ torch.tensor(weights)
    scores = scores if offset is None else scores + offset
    scores = torch.cat([scores, torch.zeros(rows, 1)], 1)
    return features, torch.multinomial(scores.softmax(1), 1, generator=generator).squeeze(1)


def test_one_item_and_nothing_by_hand():
    # Six of ten take the item: θ = logit .6, and its information is n p (1 - p).
    choice = 1 - torch.tensor([1, 1, 1, 0, 1, 0, 0, 1, 1, 0])
    alone = fit_linear([sets(torch.ones(10, 1, 1), choice)], ridge=0)
    assert alone.weights.item() == pytest.approx(math.log(1.5), abs=1e-9)
    likely = linear_log_likelihood([sets(torch.ones(10, 1, 1), choice)], alone.weights)
    assert likely == pytest.approx(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert alone.errors.item() ** 2 == pytest.approx(10 / 9 / (10 * 0.24))
    # Two by two the residuals are .8, -.2, -.2, -.2, -.2.
    user = torch.arange(10) // 2
    pairs = fit_linear([sets(torch.ones(10, 1, 1), choice, user)], ridge=0)
    meat = 0.8**2 + 4 * 0.2**2
    assert pairs.errors.item() ** 2 == pytest.approx(5 / 4 * meat / 2.4**2)
    # Student's quantile of four degrees is 2.776.
    low, high = pairs.intervals()
    assert (high - low).item() / 2 == pytest.approx(2.7764 * pairs.errors.item(), abs=1e-4)


def test_no_weights_are_likelier_by_torchs_own_loss():
    offset = torch.randn(300, 3, generator=torch.Generator().manual_seed(9))
    features, choice = drawn(300, [1.0, -2.0], 0, offset)
    offset[:, 2] = torch.where(choice == 2, offset[:, 2], -torch.inf)  # empty places
    weight = torch.rand(300, generator=torch.Generator().manual_seed(1)) + 0.5
    whole = sets(features, choice, offset=offset, weight=weight)
    halves = [LinearSets(*(x[part] for x in whole)) for part in (slice(0, 100), slice(100, 300))]
    theta = fit_linear(halves, ridge=0).weights.requires_grad_()
    scores = torch.cat([features.double() @ theta + offset, torch.zeros(300, 1)], 1)
    losses = torch.nn.functional.cross_entropy(scores, choice, reduction="none")
    (slope,) = torch.autograd.grad((weight * losses).mean(), theta)
    assert slope.abs().max() < 1e-8
    likely = -float((weight * losses).sum().detach() / weight.sum())
    assert linear_log_likelihood([whole], theta.detach()) == pytest.approx(likely)


def test_intervals_cover_as_often_as_they_say():
    truth = torch.tensor([1.0, -0.5], dtype=torch.float64)
    inside = []
    for seed in range(200):
        # Every choice is written down three times, which the users' sums must see through.
        features, choice = drawn(150, [1.0, -0.5], seed)
        user = torch.arange(150).repeat(3)
        data = sets(features.repeat(3, 1, 1), choice.repeat(3), user)
        low, high = fit_linear([data]).intervals()
        inside.append((low < truth) & (truth < high))
    # Of 400: three standard errors are about .035.
    assert torch.stack(inside).double().mean() == pytest.approx(0.95, abs=0.035)


def test_what_cannot_be_fitted_is_refused():
    features, choice = drawn(4, [1.0], 0)
    with pytest.raises(DataError, match="two users or more"):
        fit_linear([sets(features, choice, user=torch.zeros(4, dtype=torch.int64))])
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_linear([sets(features * torch.nan, choice)])
