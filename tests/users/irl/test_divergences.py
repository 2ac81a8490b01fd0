"""φ against the convex conjugate, found by trying all t on a fine grid."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightrec.users.irl.looking_ahead import phi

F = {
    "chi2": lambda t: (t - 1).square(),
    "forward-kl": lambda t: t - 1 - t.log(),
    "hellinger": lambda t: (t.sqrt() - 1).square(),
    "jensen-shannon": lambda t: torch.xlogy(t, t) - (t + 1) * ((t + 1) / 2).log(),
    "reverse-kl": lambda t: torch.xlogy(t, t) - t + 1,
}
GRID = torch.logspace(-8, 8, 40_001, base=torch.e, dtype=torch.float64)


@pytest.mark.parametrize("divergence", F)
@given(x=st.floats(-0.55, 1.5))
def test_phi_is_minus_the_conjugate_of_minus_x(divergence, x):
    conjugate = (-x * GRID - F[divergence](GRID)).max()
    found = phi(divergence, torch.tensor(x, dtype=torch.float64))
    assert float(found) == pytest.approx(-float(conjugate), abs=2e-3)


@pytest.mark.parametrize("divergence", F)
def test_phi_is_concave_smooth_and_near_the_identity(divergence):
    x = torch.linspace(-6, 6, 2401, dtype=torch.float64, requires_grad=True)
    value = phi(divergence, x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert (slope.diff() <= 1e-12).all()
    assert value.isfinite().all()
    middle = x.abs() < 1e-9
    assert value[middle].abs() < 1e-9
    assert slope[middle] == pytest.approx(1.0)
