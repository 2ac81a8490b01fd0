"""Every promise has a part that breaks it; what checks say, and how they compare outputs."""

import re
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path

import lightrec_testing
import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import Check, ContractError, DoesNotApply, check_all
from lightrec_testing.contract import checks_of, outcomes, promise
from lightrec_testing.invariants import Checks, differences
from lightrec_testing.plugins import kind_of
from tensordict import TensorDict

from lightrec import plugins
from lightrec.errors import FetchError, NotApplicable, PluginError
from tests.testing.test_modules import PROCESS

MODULES = ("learning", "modules", "policies", "simulators", "stages", "tables")
ROOT = Path(__file__).parents[2]
KINDS = [
    getattr(lightrec_testing, name) for name in lightrec_testing.__all__ if name.endswith("Checks")
]


def names_of(kind):
    path = (Path(),) if kind is lightrec_testing.ReaderChecks else ()
    return {check.name for check in kind(object, *path)}


def broken_parts():
    """The checks of a kind, and the names of those that a wrong part of the tables fails."""
    tests = [import_module(f"tests.testing.test_{m}").test_a_wrong_one_fails for m in MODULES]
    rows = [row for test in tests for row in test.pytestmark[0].args[1]]
    rows += [(lightrec_testing.EncoderChecks, {PROCESS})]  # has a test of its own
    for what, *_, names in rows:
        yield what if issubclass(what, Checks) else kind_of(what), names


def test_every_promise_has_a_part_that_breaks_it():
    broken = set().union(*(names for _, names in broken_parts()))
    for kind in KINDS:
        assert names_of(kind) <= broken, kind
        failed = set().union(*(names for each, names in broken_parts() if each is kind))
        assert len(failed & names_of(kind)) >= 5, kind


def test_the_page_counts_the_checks_of_each_kind():
    page = (ROOT / "docs" / "how-to" / "plugin.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| `(\w+Checks)` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    caught = Counter(kind for kind, names in broken_parts() if names)
    counted = {kind.__name__: (len(names_of(kind)), caught[kind]) for kind in KINDS}
    assert {name: (int(checks), int(parts)) for name, checks, parts in rows} == counted


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]), "1 of 2 numbers differ, by up to 0.1"),
        (torch.tensor([1.0, torch.nan]), torch.tensor([torch.nan, torch.nan]), "1 of 2 numbers"),
        (torch.tensor([2**62]), torch.tensor([2**62 + 1]), "1 of 1 numbers differ"),
        (torch.zeros(2), torch.zeros(3), "The shapes are (2,) and (3,)"),
        (TensorDict({"a": torch.zeros(1)}), TensorDict(), "One of two lacks a."),
        ({"a": pl.Series([1])}, {"a": pl.Series([2])}, "In a, "),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1.0]}), " became "),
        (np.zeros(2), np.ones(2), " became "),
        ({"a": 1.0}, {"a": 2.0}, "In a, 1.0 became 2.0."),
    ],
)
def test_differences_are_found_in_what_parts_give(one, other, found):
    assert list(differences(one, one)) == []
    assert found in " ".join(differences(one, other))


def test_what_is_saved_is_the_same_to_the_bit():
    one = torch.tensor([1.0])
    assert not list(differences(one, one + 1e-6))
    assert list(differences(one, one + 1e-6, exact=True))


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
