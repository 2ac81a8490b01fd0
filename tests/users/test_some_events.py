"""Learning from some events alone, and histories without some of their steps."""

import numpy as np
import pytest
import torch

from lightrec.data.store import TRAIN
from lightrec.errors import RecipeError
from lightrec.users.choice_data import ChoiceData
from tests.users.stores import TWO_SETS, prepared


@pytest.fixture
def data(tmp_path):
    prepared(TWO_SETS, tmp_path / "data")
    return ChoiceData(str(tmp_path / "data"), history_length=4)


def test_only_chosen_events_are_learned_from(data, tmp_path):
    chosen = np.array([5, 6, 7, 15, 16, 17])
    np.save(tmp_path / "events.npy", chosen)
    part = ChoiceData(data.data, history_length=4, events=str(tmp_path / "events.npy"))
    assert part.events(TRAIN).tolist() == chosen.tolist()
    assert part.offer_settings["events"] == str(tmp_path / "events.npy")
    assert len(data.events(TRAIN)) == 12


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
