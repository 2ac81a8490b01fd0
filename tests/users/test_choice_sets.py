import numpy as np
import pytest
import torch

from lightrec.data.store import TRAIN
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_sets import ChoiceSets, EventBatches
from tests.users.stores import OFFERED, TWO_SETS, prepared


def test_assumed_sets_hold_the_choice_among_unseen_items(tmp_path):
    """Eight users meet ten of twenty items each."""
    generator = np.random.default_rng(0)
    items = np.concatenate([generator.permutation(20)[:10] for _ in range(8)])
    events = {"user": np.repeat(np.arange(8), 10), "item": items}
    plain = prepared(events | {"time": np.tile(np.arange(10), 8)}, tmp_path / "plain")
    events = plain.events(TRAIN)
    batch = ChoiceSets(plain, 5, 8, 3.0)[(0, 1), events]
    number = len(events)
    sets = batch[Key.CANDIDATES].numpy()
    assert sets.shape == (2 * number, 8)
    assert (sets[:number, 0] == plain.items[events]).all()
    assert batch[Key.CHOICE].tolist() == [0] * number + [8] * number
    assert batch[Key.WEIGHT].tolist() == [1.0] * number + [3.0] * number
    assert batch[Key.HISTORY].shape == (number, 5)
    users = plain.users_of(events)
    for row, (event, user) in enumerate(zip(events, users, strict=True)):
        before = set(plain.items[plain.offsets[user] : event].tolist())
        for drawn in (sets[row], sets[number + row]):
            assert len(set(drawn.tolist())) == 8
            assert not before & set(drawn.tolist())


def test_logged_sets_are_taken_as_they_are(tmp_path):
    offered = prepared(OFFERED, tmp_path / "offered")
    batch = ChoiceSets(offered, 3, 99, 1.0)[(0,), np.array([1, 2, 3])]
    names = ["", *offered.catalog["item"].to_list()]
    sets = [[names[i] for i in row] for row in batch[Key.CANDIDATES].tolist()]
    assert sets == [["a", "b", ""], ["b", "c", "a"], ["b", "a", ""]]
    assert batch[Key.CHOICE].tolist() == [3, 1, 0]
    assert batch[Key.WEIGHT].tolist() == [1.0] * 3
    nothing = offered.num_items + 1
    assert batch[Key.HISTORY][2].tolist() == [1, nothing, names.index("c")]


def test_batches_are_shuffled_by_seed_and_epoch():
    events = np.arange(100, 200)

    def order(epoch, **settings):
        sampler = EventBatches(events, 32, 7, **{"shuffle": True, "limit": None, **settings})
        sampler.set_epoch(epoch)
        requests = list(sampler)
        assert len(requests) == len(sampler)
        return np.concatenate([rows for _, rows in requests]), [seeds for seeds, _ in requests]

    (first, seeds), (again, _), (later, other) = order(0), order(0), order(1)
    assert (np.sort(first) == events).all()
    assert (first == again).all()
    assert (first != later).any()
    assert not set(seeds) & set(other)
    assert (order(0, shuffle=False)[0] == events).all()
    # Not the first ones, which would be those of the first users.
    kept = order(0, limit=40, shuffle=False)[0]
    assert len(kept) == 40
    assert kept.max() > 140


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
