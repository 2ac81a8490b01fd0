"""The worlds keep the contract of simulators."""

import pytest
from lightrec_worlds.retention import Retention

from lightrec.testing import parametrize_checks, plugin_checks


@pytest.fixture(autouse=True)
def few_days(monkeypatch):
    # For how many days a world's people come is none of the contract's business.
    monkeypatch.setitem(Retention.__init__.__kwdefaults__, "horizon", 5)


@parametrize_checks(plugin_checks("lightrec-worlds"))
def test_contract(check):
    check()
