"""The checks by a made-up log fail where its truth is not found, or what is forbidden is shown."""

import numpy as np
import pytest
from lightrec_formats import truth
from lightrec_testing import ContractError, tiny


class Recorded:
    """Stands for a run: only its log is looked at."""

    def __init__(self, path):
        self.data = tiny.kit_context().store


def check(monkeypatch, name, **settings):
    monkeypatch.setattr(truth, "Run", Recorded)
    monkeypatch.setattr(truth, "recovered", lambda run, log: {"blend": 0.5, "popularity": 0.3})
    made = truth.MadeUp(None, None)
    checks = truth.TruthChecks("shop", lambda: made, **settings)
    next(check for check in checks if check.name == name)()


def last(store):
    return np.tile(np.arange(store.num_items) == store.num_items - 1, (store.num_users, 1))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("truth is found", {"ahead": 0.3}, r"blend is at 0\.50 and popularity at 0\.30"),
        ("truth is found", {"ahead": 0.1, "blend": 0.6}, r"blend is at 0\.50"),
        ("masks", {"ahead": 0, "forbidden": last}, r"u\d+ may be shown i\d+\."),
        ("masks", {"ahead": 0, "forbidden": lambda store: last(store) & False}, "0 are forbidden"),
    ],
)
def test_what_is_not_kept_is_named(monkeypatch, name, settings, message):
    with pytest.raises(ContractError, match=message):
        check(monkeypatch, name, **settings)
