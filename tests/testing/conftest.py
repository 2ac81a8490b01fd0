"""What the tests of the kit share: which checks fail, each of them in three sentences."""

from collections.abc import Callable, Iterable

import pytest
from lightrec_testing import Check, ContractError, DoesNotApply


@pytest.fixture(scope="session")
def failing() -> Callable[..., set[str]]:
    """Names of the checks that fail; some may be left out."""

    def failing(checks: Iterable[Check], *left_out: str) -> set[str]:
        errors = {}
        for check in (check for check in checks if check.name not in left_out):
            try:
                check()
            except DoesNotApply:
                pass
            except ContractError as error:
                errors[check.name] = error
        for error in errors.values():
            sentences = (error.expected, error.found + "." * (error.found[-1] != "."), error.advice)
            assert str(error) == " ".join(sentences)
            assert all(each.rstrip().endswith(".") and len(each) > 5 for each in sentences)
        return set(errors)

    return failing
