"""Every promise has a part that breaks it, and outputs of any type are compared."""

import re
from pathlib import Path

import lightrec_testing
import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing.invariants import differences
from tensordict import TensorDict

from tests.testing import (
    test_learning,
    test_modules,
    test_policies,
    test_simulators,
    test_stages,
    test_tables,
)

MODULES = (test_learning, test_modules, test_policies, test_simulators, test_stages, test_tables)
ROOT = Path(__file__).parents[2]
KINDS = [
    getattr(lightrec_testing, name) for name in lightrec_testing.__all__ if name.endswith("Checks")
]


def checks_of(kind):
    path = (Path(),) if kind is lightrec_testing.ReaderChecks else ()
    return {check.name for check in kind(object, *path)}


def broken_parts():
    """For each row of the tables of wrong parts, the names of the checks that fail."""
    return [row[-1] for m in MODULES for row in m.test_a_wrong_one_fails.pytestmark[0].args[1]]


def test_every_promise_has_a_part_that_breaks_it():
    broken = set().union(*broken_parts())
    for kind in KINDS:
        names = checks_of(kind)
        assert len(names) >= 5
        assert names - {"another process"} <= broken, kind


def test_the_page_counts_the_checks_of_each_kind():
    page = (ROOT / "docs" / "how-to" / "plugin.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| [^|]+ \| `(\w+Checks)` \| (\d+) \|", page, re.MULTILINE))
    assert rows == {kind.__name__: str(len(checks_of(kind))) for kind in KINDS}


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
