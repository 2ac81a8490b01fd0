"""Every promise has a part that breaks it, and outputs of any type are compared."""

import re
from collections import Counter
from pathlib import Path

import lightrec_testing
import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing.invariants import Checks, differences
from lightrec_testing.plugins import kind_of
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
    """The checks of a kind, and the names of those that a wrong part of the tables fails."""
    rows = [row for m in MODULES for row in m.test_a_wrong_one_fails.pytestmark[0].args[1]]
    rows += [(lightrec_testing.EncoderChecks, {test_modules.PROCESS})]  # has a test of its own
    for what, *_, names in rows:
        yield what if issubclass(what, Checks) else kind_of(what), names


def test_every_promise_has_a_part_that_breaks_it():
    broken = set().union(*(names for _, names in broken_parts()))
    for kind in KINDS:
        assert checks_of(kind) <= broken, kind
        failed = set().union(*(names for each, names in broken_parts() if each is kind))
        assert len(failed & checks_of(kind)) >= 5, kind


def test_the_page_counts_the_checks_of_each_kind():
    page = (ROOT / "docs" / "how-to" / "plugin.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| `(\w+Checks)` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    caught = Counter(kind for kind, names in broken_parts() if names)
    counted = {kind.__name__: (len(checks_of(kind)), caught[kind]) for kind in KINDS}
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
