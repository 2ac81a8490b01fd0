"""Checks and their outcomes, with pytest and without."""

from functools import partial

import pytest
from lightrec_testing import Check, ContractError, DoesNotApply, check_all
from lightrec_testing.contract import checks_of, outcomes, promise

from lightrec import plugins
from lightrec.errors import FetchError, NotApplicable, PluginError


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


def raising(error, name):
    def check():
        raise error

    check.__name__ = name
    return promise("Nothing.")(check)


SKIPPED = (
    raising(DoesNotApply("There is no tea."), "skips"),
    raising(FetchError("No network."), "is_offline"),
    raising(NotApplicable("The log has no prices."), "lacks"),
)
CHECKS = checks_of("Pot", (passes, fails, breaks, *SKIPPED), what="tea")


def test_every_outcome_is_told_and_nothing_stops_the_others():
    ids = ["passes", "fails", "breaks", "skips", "is-offline", "lacks"]
    assert [check.id for check in CHECKS] == [f"Pot-{name}" for name in ids]
    statuses, reasons = zip(*(check.outcome() for check in CHECKS), strict=True)
    skipped = ("not applicable", "not checked", "not checked")
    assert statuses == ("passed", "failed", "failed", *skipped)
    assert reasons[1] == "tea is hot. It is cold. Warm tea."
    line = breaks.__code__.co_firstlineno + 2
    assert reasons[2] == (
        "The check 'breaks' must run to its end. Pot raised KeyError: 'tea'. "
        f'Correct line {line} of {__file__}: `raise KeyError("tea")`.'
    )
    assert reasons[4] == "It needs something that is not here: No network."


def test_an_import_failure_of_another_part_is_not_held_against_this_one():
    other = plugins.Part("Other", "encoders", "no_such_module_here:Other", "other 1.0")
    needs = Check("Pot", "needs", other.load)
    (refused,) = checks_of("Pot", [raising(PluginError("The pot has no lid."), "is_refused")])
    assert needs.outcome()[0] == "not checked"
    assert "no_such_module_here:Other of other 1.0" in needs.outcome()[1]
    assert refused.outcome()[0] == "failed"
    # A line of lightrec's is no line to correct.
    asks = Check("Pot", "asks", partial(plugins.Plugins().get, "encoders", "Pot"))
    assert "Correct what the part gives to line" in asks.outcome()[1]


def test_what_was_said_of_a_part_is_not_said_again():
    breaking = [raising(KeyError("tea"), name) for name in ("first", "second")]
    checks = [*checks_of("Pot", breaking), *checks_of("Kettle", breaking[1:]), CHECKS[0], CHECKS[0]]
    first, second, other, *passed = [message for *_, message in outcomes(checks)]
    assert "KeyError: 'tea'" in first
    assert second == "The same as of 'first'."
    assert "KeyError: 'tea'" in other
    assert passed == ["", ""]


def test_all_that_failed_is_in_one_error():
    with pytest.raises(ContractError) as raised:
        check_all(CHECKS)
    assert raised.value.expected == "All 6 checks must pass."
    assert "- Pot-fails: tea is hot. It is cold. Warm tea.\n- Pot-breaks: " in raised.value.found
    check_all([CHECKS[0], CHECKS[3]])
