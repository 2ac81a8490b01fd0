"""Synthetic logs: choices follow their law, and checks fail where the truth is not found."""

import numpy as np
import polars as pl
import pytest
from lightrec_formats import truth
from lightrec_formats.made_up import choose
from lightrec_testing import ContractError, tiny


def test_choices_follow_a_softmax():
    """The first choice of 20,000 people with one appeal, against the closed form."""
    appeal = np.tile([0.0, 1.0, 2.0], (20_000, 1))
    times = np.full((20_000, 1), 1e9)
    made = choose(appeal, times, np.random.default_rng(0))
    shares = np.bincount(made.items, minlength=3) / 20_000
    law = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert shares == pytest.approx(law, abs=4 * (0.25 / 20_000) ** 0.5)


def test_nothing_comes_again_unless_it_may():
    times = np.arange(3.0) + np.array([[10], [0]])
    made = choose(np.zeros((2, 3)), times, np.random.default_rng(0))
    assert list(made.numbers) == [0, 1, 2, 0, 1, 2]
    log = made.log(pl.Series(["u", "v"]), pl.Series(["x", "y", "z"]), feedback="buy")
    assert log["user"].to_list() == ["v"] * 3 + ["u"] * 3
    assert sorted(log["item"][:3]) == sorted(log["item"][3:]) == ["x", "y", "z"]
    assert log["time"].dt.epoch("s").to_list() == [0, 1, 2, 10, 11, 12]
    assert log["feedback"].to_list() == ["buy"] * 6
    sure = np.array([[50.0, 0, 0]])
    again = choose(sure, times[:1], np.random.default_rng(0), repeats=True)
    assert list(again.items) == [0, 0, 0]


def test_what_a_moment_adds_counts_and_missing_events_are_left_out():
    def moment(event, now, chosen):
        """Let nothing be there at an even number but item 1, at an odd one but item 2."""
        assert (chosen.shape, now.shape) == ((1, event), (1,))
        return np.where(np.arange(3) == 1 + event % 2, 0, -np.inf)

    times = np.array([[1.0, 2.0, np.nan]])
    made = choose(np.zeros((1, 3)), times, np.random.default_rng(0), moment, repeats=True)
    assert list(made.items) == [1, 2]


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
