"""What the tests of the kit share: which checks fail, each of them in three sentences."""

from collections.abc import Callable, Iterable

import pytest

from lightrec.testing import Check, ContractError, DoesNotApply


def failing(checks: Iterable[Check], *left_out: str) -> set[str]:
    errors = {}
    for check in checks:
        try:
            if check.name not in left_out:
                check()
        except DoesNotApply:
            pass
        except ContractError as error:
            errors[check.name] = error
    for error in errors.values():
        sentences = (error.expected, error.found + "." * (error.found[-1] != "."), error.advice)
        assert str(error) == " ".join(sentences)
        assert all(sentence.rstrip().endswith(".") and len(sentence) > 5 for sentence in sentences)
    return set(errors)


@pytest.fixture(name="failing", scope="session")
def failing_fixture() -> Callable[..., set[str]]:
    """Give the names of the checks that fail; some may be left out."""
    return failing
