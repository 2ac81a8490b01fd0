"""Windows made by hand, and what holds for all windows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.store import TRAIN
from lightrec.errors import RecipeError
from lightrec.ranking.sequence_data import Sequences, TrainWindows, WindowSampler
from lightrec.ranking.sequence_transforms import Crop, Mask, Reorder

KINDS = (Crop, Mask, Reorder)


def batch_of(*lengths, seen=0):
    """Histories 1, 2, 3 … with the next number as target, each row a hundred higher.

    An item's feedback is ten times the item, its gap is a thousand more.
    """
    width = max(lengths)
    history, target = np.zeros((2, len(lengths), width), dtype=np.int64)
    for row, length in enumerate(lengths):
        history[row, width - length :] = np.arange(1, length + 1) + 100 * row
        target[row, width - length :] = history[row, width - length :] + 1
    tables = {"history": history, "target": target, "seen": np.full((len(lengths), 1), seen)}
    tables |= {"feedback": 10 * history, "gap": history + 1000 * (history > 0)}
    return {name: torch.from_numpy(table) for name, table in tables.items()}


def rows(table):
    return [[item for item in row if item] for row in table.tolist()]


def changed(transform, batch, seed=0):
    return transform(batch, np.random.default_rng(seed))


def test_a_crop_keeps_a_part_with_its_targets_and_tells_what_lies_before():
    starts = set()
    for seed in range(50):
        batch = changed(Crop(0.5, 1.0), batch_of(6, 1, seen=999), seed)
        (first, *others), single = rows(batch["history"])
        assert others == [first + 1, first + 2]
        assert rows(batch["target"]) == [[first + 1, first + 2, first + 3], [102]]
        assert batch["history"].shape == (2, 3)
        assert batch["history"][0, 0] == first
        assert batch["history"][1].tolist() == [0, 0, 101]
        assert single == [101]
        assert rows(batch["seen"]) == [[999, *range(1, first)], [999]]
        starts.add(first)
    assert starts == {1, 2, 3, 4}


def test_a_mask_leaves_inputs_out_and_keeps_the_targets_of_the_others():
    gone = set()
    for seed in range(50):
        batch = changed(Mask(0.4, 1.0), batch_of(5, 2), seed)
        (first, second), (target, other) = rows(batch["history"]), rows(batch["target"])
        assert len(first) == 3
        assert target == [item + 1 for item in first]
        assert (second, other) == ([101, 102], [102, 103])  # 40 % of two is none
        assert batch["history"].shape == (2, 3)
        gone |= set(range(1, 6)) - set(first)
    assert gone == {1, 2, 3, 4, 5}


def test_a_reorder_shuffles_a_short_span_as_inputs_and_as_targets():
    orders = set()
    for seed in range(200):
        batch = changed(Reorder(0.5, 1.0), batch_of(6), seed)
        (history,), (target,) = rows(batch["history"]), rows(batch["target"])
        moved = [place for place, item in enumerate(history) if item != place + 1]
        assert not moved or max(moved) - min(moved) < 3
        assert history[0] == 1
        assert sorted(history) == [1, 2, 3, 4, 5, 6]
        assert target == [*history[1:], 7]
        orders.add(tuple(history))
    # Three places for a span of three, 1 + 3 · 5 orders of which two are counted twice.
    assert len(orders) == 14


def test_what_is_no_target_stays_none():
    batch = batch_of(4)
    batch["target"][0, 1] = 0  # item 3 is context
    for seed in range(30):
        (history,) = changed(Reorder(1.0, 1.0), batch, seed)["history"].tolist()
        (target,) = changed(Reorder(1.0, 1.0), batch, seed)["target"].tolist()
        assert target == [0 if item == 3 else item for item in [*history[1:], 5]]


@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    share=st.floats(0, 1),
    probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_of_all_transforms(kind, lengths, share, probability, seed):
    before = batch_of(*lengths)
    kept = {name: table.clone() for name, table in before.items()}
    after = changed(kind(share=share, probability=probability), before, seed)
    assert all(torch.equal(before[name], kept[name]) for name in kept), (
        "the batch given is as it was"
    )
    assert after["history"].shape == after["target"].shape
    assert all(table.dtype == torch.int64 for table in after.values())
    inside = after["history"] != 0
    assert torch.equal(inside, after["target"] != 0)
    assert inside[:, -1].all()
    assert torch.equal(after["feedback"], 10 * after["history"])
    assert torch.equal(after["gap"] > 0, inside)
    if kind is Reorder:
        assert torch.equal(after["gap"], before["gap"]), "the moments stay where they are"
    else:
        assert torch.equal(after["gap"], after["history"] + 1000 * inside)
    assert (inside.int().diff(dim=1) >= 0).all(), "padding lies on the left"
    for old, new, aims in zip(
        rows(before["history"]), rows(after["history"]), rows(after["target"]), strict=True
    ):
        assert set(new) <= set(old)
        assert len(new) == len(set(new))
        assert set(aims) <= {item + 1 for item in old}
    if probability == 0:
        assert all(torch.equal(after[name], kept[name]) for name in kept)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{"share": 1.2}, {"probability": -0.1}])
def test_shares_are_between_0_and_1(kind, settings):
    with pytest.raises(RecipeError, match=f"{kind.__name__} got .*: give a number from 0 to 1"):
        kind(**settings)


def test_chance_follows_from_seed_and_epoch():
    items = np.arange(1, 61, dtype=np.int32)
    parts = np.full(60, TRAIN, dtype=np.int8)
    times = np.zeros(60, dtype=np.int64)
    log = Sequences(items, parts, np.array([0, 20, 45, 60]), times)
    data = TrainWindows(log, 10, 5, [Crop(0.8, 0.9), Mask(0.5, 0.9), Reorder(0.5, 0.9)])

    def histories(seed, epoch):
        sampler = WindowSampler(data, 2, seed)
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler)
        return [data[draw]["history"].tolist() for draw in sampler]

    assert histories(0, 4) == histories(0, 4)
    assert histories(0, 4) != histories(0, 5)
    assert histories(0, 4) != histories(1, 4)


def test_a_batch_without_a_target_left_stays_whole():
    parts = np.array([TRAIN, TRAIN, *[TRAIN + 9] * 6], dtype=np.int8)
    items, times = np.arange(1, 9, dtype=np.int32), np.zeros(8, dtype=np.int64)
    sequences = Sequences(items, parts, np.array([0, 8]), times)
    data = TrainWindows(sequences, 10, 5, [Crop(0.0, 1.0)])
    for number in range(20):
        batch = data[(0, 0, number), np.array([[0, 7]])]
        assert (batch["target"] != 0).any()
