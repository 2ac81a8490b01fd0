"""Which events the stages see: none of cold items, none held out, only those that were chosen."""

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import tiny

from lightrec.data.store import COLD, TEST, TRAIN, VALIDATION, EventStore
from lightrec.keys import Key
from lightrec.learners.policy_data import PolicyData
from lightrec.ranking.sequence_data import SequenceData
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts_fitting import UserParts
from tests.users.stores import prepared

USERS, ITEMS, EVENTS = 200, 20, 8
HOUR = 3_600


def store_of(folder, split, events):
    return prepared(events, folder, split=split, cold_fraction=0.3)


def a_log():
    """200 users with eight events each, days apart, of which every third declines.

    A session has two of them, the first and the last of every other user one.
    """
    generator = np.random.default_rng(0)
    items = np.concatenate([generator.permutation(ITEMS)[:EVENTS] for _ in range(USERS)])
    gaps = generator.lognormal(11, 0.5, (USERS, EVENTS)).astype(int) + HOUR
    declined = generator.random(USERS * EVENTS) < 1 / 3
    return pl.DataFrame(
        {
            "user": np.repeat(np.arange(USERS), EVENTS),
            "item": [None if no else f"i{item}" for no, item in zip(declined, items, strict=True)],
            "time": gaps.cumsum(1).flatten() + 1_600_000_000,
            "value": generator.normal(size=USERS * EVENTS) + items,
            "candidates": [[f"i{item}", f"i{(item + 1) % ITEMS}"] for item in items],
            "session": [f"s{(event + event // EVENTS) // 2}" for event in range(USERS * EVENTS)],
        }
    )


def test_no_history_of_any_stage_holds_a_cold_item(tmp_path):
    plain = a_log().filter(pl.col("item").is_not_null()).drop("candidates", "session")
    store = store_of(tmp_path / "data", "item-cold", plain)
    kept_out = torch.from_numpy(np.unique(store.items[store.parts == COLD])).long()
    assert len(kept_out) == 6
    data = ChoiceData(str(store.folder), history_length=6, batch_size=4096)
    histories = [batch[Key.HISTORY] for part in (TRAIN, TEST) for batch in data.batches(part)]
    ranking = SequenceData(str(store.folder))
    histories += [batch[Key.HISTORY].flatten() for batch in ranking.test_dataloader()]
    users_a = tmp_path / "users_a"
    tiny.tiny_user_model(data.num_items).save_pretrained(users_a)
    policy = PolicyData(str(store.folder), "ranker", str(users_a), held_out=20, cut=True)
    users, ends = policy.starts.draw(500, torch.Generator().manual_seed(0))
    histories.append(policy.starts.history(users, ends, 6))
    histories.append(policy.starts.seen(users, ends)[1])
    model = PooledChoice(data.num_items, 0, 6)
    seen = []
    model.state = lambda history: seen.append(history) or torch.zeros(len(history), 1)
    UserParts(model, data)._value_rows(data.events(TRAIN))
    UserParts(model, data)._return_rows(np.ones(len(UserParts(model, data).table.begins), bool))
    for history in [*histories, *seen]:
        assert (history > 0).any()
        assert not torch.isin(history, kept_out).any()


def fitted_parts(store, **settings):
    torch.manual_seed(0)
    model = PooledChoice(store.num_items, 1, 4, pools=1, feature_size=2, hidden_size=4).eval()
    data = ChoiceData(str(store.folder), history_length=4, **settings)
    parts = UserParts(model, data, epochs=1)
    found = {"leaving": parts.leaving(), "return": parts.returning(), "value": parts.value()}
    return {name: part[0].state_dict() for name, part in found.items() if part is not None}


@pytest.mark.slow
@pytest.mark.parametrize("split", ["leave-one-out", "global-time"])
def test_user_parts_do_not_change_with_the_held_out_events(tmp_path, split):
    store = store_of(tmp_path / "data", split, a_log())
    before = fitted_parts(store)
    assert set(before) == {"leaving", "return", "value"}
    held_out = np.isin(store.parts, (VALIDATION, TEST))
    items = np.where(held_out, 1, store.items).astype(np.int32)
    # Later and closer together, behind everything that trains.
    times = np.where(held_out, store.times.max() + np.arange(len(store)), store.times)
    for name, column in (("items", items), ("times", times)):
        np.save(store.folder / f"{name}.npy", column)
    after = fitted_parts(EventStore(store.folder))
    for name, state in before.items():
        for key, weights in state.items():
            assert torch.equal(weights, after[name][key]), (name, key)
