"""Learning from some events alone, and histories without some of their steps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.store import TRAIN
from lightrec.errors import RecipeError
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_sets import forgetting
from tests.users.stores import prepared


@pytest.fixture
def data(tmp_path):
    """Four users with five events each, offered one of two sets."""
    events = {
        "user": np.repeat(["u", "v", "w", "x"], 5),
        "item": ["a", None, "a", "b", "a"] * 2 + ["c", None, "d", "d", "c"] * 2,
        "time": np.tile(np.arange(5), 4),
        "candidates": [["a", "b"]] * 10 + [["c", "d"]] * 10,
    }
    prepared(events, tmp_path / "data")
    return ChoiceData(str(tmp_path / "data"), history_length=4)


def test_only_chosen_events_are_learned_from(data, tmp_path):
    chosen = np.array([5, 6, 7, 15, 16, 17])
    np.save(tmp_path / "events.npy", chosen)
    part = ChoiceData(data.data, history_length=4, events=str(tmp_path / "events.npy"))
    assert part.events(TRAIN).tolist() == chosen.tolist()
    assert part.offer_settings["events"] == str(tmp_path / "events.npy")
    assert len(data.events(TRAIN)) == 12


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=5),
    st.floats(0, 0.99),
    st.integers(0, 100),
)
def test_a_forgetful_history_is_a_part_of_the_whole_in_its_order(rows, rate, seed):
    history = np.array([sorted(row, key=bool) for row in rows])
    found = forgetting(history, rate, np.random.default_rng(seed))
    for before, after in zip(history.tolist(), found.tolist(), strict=True):
        assert after == sorted(after, key=bool)
        rest = iter(item for item in before if item)
        assert all(item in rest for item in after if item)
    if rate == 0:
        assert (found == history).all()


def test_histories_are_forgotten_in_training_alone(data):
    forgetful = ChoiceData(data.data, history_length=4, forget=0.9)
    whole, part = (
        [batch["history"] for batch in one.batches(TRAIN, shuffle=True)]
        for one in (data, forgetful)
    )
    assert (torch.cat(part) > 0).sum() < (torch.cat(whole) > 0).sum() / 2
    same = zip(data.batches(TRAIN), forgetful.batches(TRAIN), strict=True)
    assert all(torch.equal(one["history"], other["history"]) for one, other in same)
    for name in ("forget", "nothing_rate"):
        with pytest.raises(RecipeError, match=f"{name} is 1"):
            ChoiceData(data.data, **{name: 1.0})
