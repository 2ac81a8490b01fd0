"""The checks by a made-up log fail where its truth is not found, or what is forbidden is shown."""

import numpy as np
import pytest
from lightrec_formats import truth

from lightrec.testing import ContractError, tiny


class Recorded:
    """Stands for a run: only its log is looked at."""

    def __init__(self, path):
        self.data = tiny.kit_context().store


@pytest.fixture
def checks(monkeypatch):
    monkeypatch.setattr(truth, "Run", Recorded)
    monkeypatch.setattr(truth, "recovered", lambda run, log: {"blend": 0.5, "popularity": 0.3})

    def checks(**settings):
        made = truth.MadeUp(None, None)
        return {check.name: check for check in truth.TruthChecks("shop", lambda: made, **settings)}

    return checks


def test_how_far_the_blend_is_ahead(checks):
    (check,) = checks(ahead=0.1, blend=0.4).values()
    check()
    for settings in ({"ahead": 0.3}, {"ahead": 0.1, "blend": 0.6}):
        with pytest.raises(ContractError, match=r"blend is at 0\.50 and popularity at 0\.30"):
            checks(**settings)["truth is found"]()


def test_what_is_forbidden_and_shown(checks):
    def last(store):
        return np.tile(np.arange(store.num_items) == store.num_items - 1, (store.num_users, 1))

    with pytest.raises(ContractError, match=r"u\d+ is shown i\d+\."):
        checks(ahead=0, forbidden=last)["draws"]()
    with pytest.raises(ContractError, match="0 are forbidden"):
        checks(ahead=0, forbidden=lambda store: last(store) & False)["draws"]()
