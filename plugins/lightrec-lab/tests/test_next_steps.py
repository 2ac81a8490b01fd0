"""Batches that hold the next step."""

import numpy as np
import pytest
from lightrec_lab.irl import IQLearn, NextSteps

from lightrec.keys import Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_sets import ChoiceSets
from tests.users.stores import OFFERED, prepared


@pytest.fixture
def offered(tmp_path):
    return prepared(OFFERED, tmp_path / "offered")


def test_the_next_step_is_given_or_why_there_is_none(offered):
    sets = ChoiceSets(offered, 3, 99, 1.0)
    assert Key.ENDED not in sets[(0,), np.array([1])]
    ended = np.zeros(4, bool)
    sets = NextSteps(sets, ended)
    batch = sets[(0,), np.array([1, 2, 3])]
    names = ["", *offered.catalog["item"].to_list()]
    following = [[names[i] for i in row] for row in batch[Key.NEXT_CANDIDATES].tolist()]
    # The second event validates and the third tests: what is offered there is held out.
    assert following == [["", "", ""]] * 3
    assert batch[Key.CUT].tolist() == [True] * 3
    assert not batch[Key.ENDED].any()
    batch = sets[(0,), np.array([0])]
    following = [[names[i] for i in row] for row in batch[Key.NEXT_CANDIDATES].tolist()]
    assert following == [["a", "b", ""]]
    assert batch[Key.CUT].tolist() == [False]


def test_where_slates_are_declined_sessions_end_unless_they_were_cut(tmp_path):
    events = {"user": ["u"] * 6, "item": ["a", None, "b", "a", None, "b"], "time": [*range(6)]}
    events |= {"candidates": [["a", "b"]] * 6, "session": [*"ppprrr"]}
    prepared(events, tmp_path / "data")
    for leave_rate, ends in ((0.0, [2]), (0.1, [])):
        data = ChoiceData(str(tmp_path / "data"), half="all")
        IQLearn().prepare(data, leave_rate)
        assert isinstance(data.sets, NextSteps)
        assert np.flatnonzero(data.sets.ended).tolist() == ends
