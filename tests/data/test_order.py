"""Ties are counted, and a file that was sorted by something else is found out."""

import json

import numpy as np
import polars as pl
import pytest

from lightrec.data.domain import Domain
from lightrec.data.findings import look_at
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from tests.users.stores import prepared

RANDOM = np.random.default_rng(0)
USERS = np.repeat(np.arange(30), 10)
ITEMS = np.concatenate([RANDOM.permutation(2000)[:10] for _ in range(30)])
DAY = 86_400


def found(**columns):
    """Look at a log of 30 users with ten events each."""
    frame = pl.DataFrame({"user": USERS, "item": ITEMS} | columns)
    return look_at(Tables(InteractionLog(frame, times="seconds")), Domain())


def sorted_within(order):
    return ITEMS[np.lexsort((order(ITEMS), USERS))]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, ""),
        ({"item": sorted_within(lambda i: i)}, "are in numerical order of their items, so"),
        ({"item": sorted_within(lambda i: -i)}, "are in numerical order of their items, the last"),
        ({"item": sorted_within(lambda i: i.astype(str))}, "are in alphabetical order of their"),
        ({"value": -np.sort(-RANDOM.random(300))}, "are in the order of their values, the last"),
        # Times that differ make what a file is sorted by harmless.
        ({"item": sorted_within(lambda i: i), "time": 100 + np.arange(300)}, ""),
    ],
)
def test_a_sorted_file_is_found_out(columns, words):
    note = found(**columns).order
    assert words in note
    assert bool(words) == bool(note)


def test_ties_are_counted_and_a_file_with_the_newest_first_is_told():
    on_days = found(time=(20_000 - np.arange(300) // 2) * DAY)
    assert on_days.counts["events_on_one_day"] == 300
    assert on_days.counts["users_with_tied_end"] == 30
    assert "newest events first" in on_days.order
    at_times = found(time=np.tile([0, 0, 0, 1, 2, 2, 2, 2, 2, 3], 30) + 1)
    assert at_times.counts["events_at_one_time"] == 8 * 30
    assert at_times.counts["events_on_one_day"] == at_times.counts["users_with_tied_end"] == 0
    assert not at_times.order


def test_the_store_tells_it_too_unless_ties_are_drawn(tmp_path, capsys):
    events = {"user": USERS.astype(str), "item": sorted_within(lambda i: i).astype(str)}
    store = prepared(events, tmp_path / "file")
    assert "warning: The events of a user are in numerical order" in capsys.readouterr().err
    assert "numerical order" in store.meta["order_note"]
    drawn = prepared(events, tmp_path / "drawn", equal_times="shuffle")
    assert json.loads((drawn.folder / "meta.json").read_text())["order_note"] == ""
