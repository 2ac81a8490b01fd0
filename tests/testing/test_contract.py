"""Checks and their outcomes, with pytest and without."""

import pytest

from lightrec.errors import FetchError, NotApplicable
from lightrec.testing import ContractError, DoesNotApply, check_all
from lightrec.testing.contract import checks_of, promise


@promise("Nothing.")
def passes():
    """Nothing is wrong."""
    yield from ()


@promise("Warm {what}.")
def fails():
    """{what} is hot."""
    yield "It is cold"


@promise("Nothing.")
def breaks():
    raise KeyError("tea")


@promise("Nothing.")
def skips():
    raise DoesNotApply("There is no tea.")


@promise("Nothing.")
def is_offline():
    raise FetchError("No network.")


@promise("Nothing.")
def lacks():
    raise NotApplicable("The log has no prices.")


CHECKS = checks_of("Pot", (passes, fails, breaks, skips, is_offline, lacks), what="tea")


def test_every_outcome_is_told_and_nothing_stops_the_others():
    assert [(check.id, check.outcome()[0]) for check in CHECKS] == [
        ("Pot-passes", "passed"),
        ("Pot-fails", "failed"),
        ("Pot-breaks", "failed"),
        ("Pot-skips", "not applicable"),
        ("Pot-is-offline", "not applicable"),
        ("Pot-lacks", "not applicable"),
    ]
    told = [check.outcome()[1] for check in CHECKS]
    assert told[1] == "tea is hot. It is cold. Warm tea."
    line = breaks.__code__.co_firstlineno + 2
    assert told[2] == (
        "The check 'breaks' must run to its end. Pot raised KeyError: 'tea'. "
        f'Correct line {line} of {__file__}: `raise KeyError("tea")`.'
    )
    assert told[4] == "It needs something that is not here: No network."


def test_all_that_failed_is_in_one_error():
    with pytest.raises(ContractError) as raised:
        check_all(CHECKS)
    assert raised.value.expected == "All 6 checks must pass."
    assert "- Pot-fails: tea is hot. It is cold. Warm tea.\n- Pot-breaks: " in raised.value.found
    check_all([CHECKS[0], CHECKS[3]])
