"""The worlds keep the contract of simulators, and refuse what cannot be."""

from functools import partial

import pytest
from lightrec_testing import parametrize_checks, plugin_checks
from lightrec_worlds.recsim import InterestEvolution, LongTermSatisfaction
from lightrec_worlds.retention import Retention
from lightrec_worlds.tastes import Tastes

from lightrec.errors import RecipeError


@pytest.fixture(autouse=True)
def few_days(monkeypatch):
    # For how many days a world's people come is none of the contract's business.
    monkeypatch.setitem(Retention.__init__.__kwdefaults__, "horizon", 5)


@parametrize_checks(plugin_checks("lightrec-worlds"))
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(InterestEvolution, num_items=1999), "multiple of 200"),
        (partial(LongTermSatisfaction, memory=1.0), "memory is 1"),
        (partial(Retention, horizon=1), "at least 2 days"),
        (partial(Tastes, drift=1.5), r"drift is 1\.5 and day is 0"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make(1)
