"""Weights of an earlier ranker by id, and the windows that a continued training sees."""

import numpy as np
import polars as pl
import pytest
import torch

from lightrec.data.sequences import Sequences
from lightrec.ranking.continued import items_before, take_over, windows_to_train
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.sequence_data import TrainWindows
from tests.users.stores import prepared

EVENTS = {"a": "pqrst", "b": "qrstp", "c": "stpqr"}


def store(folder, events):
    rows = [(u, i, n) for u, items in events.items() for n, i in enumerate(items)]
    return prepared(pl.DataFrame(rows, ["user", "item", "time"], orient="row"), folder)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    # "b" goes on with an item that comes first in the order of ids; "d" is new.
    longer = {**EVENTS, "b": "qrstpk", "d": "pq"}
    return store(folder / "old", EVENTS), store(folder / "new", longer)


def test_items_keep_their_weights_by_id_and_new_ones_lie_where_a_linear_map_puts_them(stores):
    old, new = stores
    torch.manual_seed(0)
    earlier, ranker = Ranker(5, size=4).eval(), Ranker(6, size=4).eval()
    places = items_before(new, old)
    assert places.tolist() == [0, 0, 1, 2, 3, 4, 5]
    # Learned vectors are start vectors turned: a new item's must be its start turned.
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    with torch.no_grad():
        ranker.items.ids[1:] = torch.randn(6, 4)
        ranker.items.ids[1:, 2:] = 0  # five items determine the map
        earlier.items.ids[1:] = ranker.items.ids[2:] @ turn
        earlier.bias.copy_(torch.arange(6.0))
    start = ranker.items.ids.detach().clone()
    assert take_over(ranker, earlier, new, old) == []
    assert torch.equal(ranker.items.ids[2:], earlier.items.ids[1:])
    assert torch.equal(ranker.bias[2:], earlier.bias[1:])
    assert ranker.items.ids[0].abs().sum() == 0
    torch.testing.assert_close(ranker.items.ids[1], start[1] @ turn)
    history = torch.tensor([[2, 3]])
    torch.testing.assert_close(ranker.scores(history)[:, 2:], earlier.scores(history - 1)[:, 1:])


@pytest.mark.filterwarnings("error")
def test_kinds_of_feedback_keep_their_weights_by_name(tmp_path):
    events = {"user": ["a"] * 4, "item": list("pqrs"), "time": range(4)}
    old, new = (
        prepared(events | {"feedback": kinds}, tmp_path / kinds[2])
        for kinds in (["view", "like", "view", "like"], ["view", "like", "cart", "like"])
    )
    earlier, ranker = (Ranker(4, size=4, feedback_kinds=n) for n in (2, 3))
    for table in (earlier.feedback, earlier.asked):
        torch.nn.init.normal_(table)
    assert take_over(ranker, earlier, new, old) == []
    for name in ("feedback", "asked"):
        own, before = getattr(ranker, name), getattr(earlier, name)
        for kind in ("view", "like"):
            row = 1 + new.feedback_kinds.index(kind)
            assert torch.equal(own[row], before[1 + old.feedback_kinds.index(kind)])
        assert not own[1 + new.feedback_kinds.index("cart")].any()


def test_training_sees_the_windows_with_new_events_and_some_others(stores):
    old, new = stores
    training = Sequences.all_events(new).training()
    assert new.user_ids.to_list() == ["a", "b", "c", "d"]
    last = windows_to_train(training, new, old, 2, 0.0, 0)
    # Of "b" one event more is for training; "d" has one event, which is none's successor.
    assert last.tolist() == [0, 2, 0, 2]
    assert (windows_to_train(training, new, old, 2, 1.0, 0) > 10**6).tolist() == [1, 0, 1, 0]
    windows = TrainWindows(training, 2, 10, last=np.array([0, 1, 1, 0]))
    cut = windows.windows(np.random.default_rng(0))
    assert len(cut) == len(windows) == 2
    ends = training.offsets[1:] - 1
    assert cut[:, 1].tolist() == ends[1:3].tolist()
