"""The decorator that turns lists of checks into pytest's tests."""

from collections.abc import Iterable

import pytest

from lightrec.testing.contract import Check


def parametrize_checks(*lists: Iterable[Check]) -> pytest.MarkDecorator:
    """Run a test once for each check, under the check's id; the test takes ``check``.

    Checks that do not apply show as skipped::

        @parametrize_checks(encoder_checks(MyEncoder), reward_checks(MyReward))
        def test_contract(check):
            check()
    """
    checks = [check for several in lists for check in several]
    return pytest.mark.parametrize("check", checks, ids=[check.id for check in checks])
