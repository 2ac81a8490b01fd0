"""Which assumptions are varied, and on which scale."""

import pytest

from lightrec.pipeline.assumptions import cells


def test_each_assumption_is_halved_and_doubled_on_its_own_scale():
    found = {cell.name: cell for cell in cells(0.9, 0.05, nothing_is_logged=False)}
    assert list(found) == [
        "as-assumed",
        "discount-0",
        "discount-half",
        "discount-double",
        "nothing-half",
        "nothing-double",
        "leaving-half",
        "leaving-double",
    ]
    # Horizons of 5 and 20 steps instead of 10.
    assert found["discount-half"].discount == pytest.approx(0.8)
    assert found["discount-double"].discount == pytest.approx(0.95)
    assert found["nothing-half"].odds_ratio == 0.5
    assert found["leaving-double"].leave_rate == pytest.approx(0.1)


def test_what_the_log_tells_is_not_assumed():
    names = [cell.name for cell in cells(0.9, 0.0, nothing_is_logged=True)]
    assert names == ["as-assumed", "discount-0", "discount-half", "discount-double"]
    fitted = cells(0.9, 0.05, nothing_is_logged=True, leaving_is_fitted=True)
    assert [cell.name for cell in fitted] == names


def test_no_horizon_is_shorter_than_one_step():
    found = {cell.name: cell for cell in cells(0.2, 0.05, nothing_is_logged=True)}
    assert found["discount-half"].discount == 0
