"""Slices by hand, that they partition whatever is held out, and recommendations in closed form."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, TRAIN
from lightrec.evaluation.slices import (
    SLICES,
    event_slices,
    head_items,
    popularity_percentiles,
    recommended,
    slice_metrics,
    worst_group,
)
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import RankingResult

COUNTS = torch.tensor([99, 8, 4, 4, 0])


def test_the_head_is_the_fewest_items_with_half_of_all_events():
    assert head_items(torch.tensor([0, 1, 5, 2, 2])).tolist() == [False, False, True, False, False]
    # 4 of 12 do not suffice; of the equally popular items that follow, the first one does.
    assert head_items(torch.tensor([9, 3, 4, 3, 2])).tolist() == [False, True, True, False, False]
    assert not head_items(torch.zeros(4)).any()


def test_the_worst_group_by_hand():
    """Those of the south are ranked third, of NDCG 1/2; the few of the west count for nothing."""
    regions = ["north"] * 60 + ["south"] * 50 + ["west"] * 49 + [None] * 50
    users = pl.DataFrame({"user": [str(n) for n in range(209)], "region": regions, "age": 3})
    rank = pl.Series([1.0] * 60 + [3.0] * 50 + [99.0] * 99).to_torch()
    result = RankingResult(torch.arange(209), torch.ones(209).long(), rank)
    assert worst_group(result, users) == {"worst/region south/ndcg@10": 0.5}
    assert worst_group(result, users.drop("region")) == {}


def test_slices_by_hand():
    counts = torch.tensor([0, 6, 3, 1, 0])
    users = torch.tensor([0, 0, 1, 2, 3])
    targets = torch.tensor([1, 2, 3, 4, 1])
    lengths = torch.tensor([7, 2, 2, 9, 1000])  # the last user has no event
    found = event_slices(users, targets, counts, lengths)
    events = {name: part.nonzero().flatten().tolist() for name, part in found.items()}
    assert events == {
        "warm": [0, 1, 2, 4],
        "cold": [3],
        "head": [0, 4],
        "tail": [1, 2, 3],
        "short": [2, 3],
        "medium": [0, 1],
        "long": [4],
    }
    result = RankingResult(users, targets, torch.tensor([1.0, 3, 20, 1, 1], dtype=torch.float64))
    metrics = slice_metrics(result, found)
    assert metrics["tail/ndcg@10"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics["tail/recall@10"] == pytest.approx(2 / 3)
    assert metrics["tail/events"] == 3
    assert metrics["cold/mrr@10"] == 1
    repeats = torch.tensor([True, False, False, True, False])
    assert {*event_slices(users, targets, counts, lengths, repeats)} == {*SLICES}
    assert event_slices(users, targets, counts, lengths, ~repeats)["met"].equal(~repeats)


def test_an_item_is_met_where_its_own_user_has_an_earlier_event_of_it():
    items, parts = np.array([1, 2, 1, 3, 3, 1, 2]), np.array([TRAIN] * 2 + [TEST] * 2 + [TRAIN] * 3)
    parts[[5, 6]] = TEST
    sequences = Sequences(items, parts, np.array([0, 4, 7]), np.zeros(7))
    events = EvaluationEvents(sequences, TEST, None, 4, None, 0)
    found = dict(zip(events.events.tolist(), events.met.tolist(), strict=True))
    # Item 3 of the second user, which the first had met, would be new to him; so are 1 and 2.
    assert found == {2: True, 3: False, 5: False, 6: False}


def test_nobody_has_to_outrank_what_may_not_be_shown():
    """The first user may be shown items 2 and 3 alone, but a target is always ranked."""
    items, parts = np.array([3, 1, 2, 1]), np.array([TRAIN, TEST, TRAIN, TEST])
    sequences = Sequences(items, parts, np.array([0, 2, 4]), np.zeros(4))
    allowed = torch.tensor([[False, False, True, True], [False, True, True, True]])
    events = EvaluationEvents(
        sequences, TEST, None, 4, None, 0, showable=lambda users, ends: allowed[users]
    )
    assert [{*row} - {0} for row in events[0]["seen"].tolist()] == [{3}, {2}]
    allowed[0, 2] = False
    assert [{*row} - {0} for row in events[0]["seen"].tolist()] == [{3, 2}, {2}]


@given(
    st.lists(st.integers(0, 9), min_size=6, max_size=6),
    st.lists(st.integers(0, 9), min_size=9, max_size=9),
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5)), min_size=1, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_slices_partition_the_events_and_their_means_make_the_whole(counts, lengths, events):
    users, targets = torch.tensor(events).T
    ranks = (users + 2 * targets).double()
    slices = event_slices(users, targets, torch.tensor(counts), torch.tensor(lengths))
    result = RankingResult(users, targets, ranks)
    metrics, whole = slice_metrics(result, slices), result.metrics((10,))["ndcg@10"]
    for names in (("warm", "cold"), ("head", "tail"), ("short", "medium", "long")):
        assert torch.stack([slices[name] for name in names]).sum(0).eq(1).all()
        sums = [metrics[f"{n}/events"] * metrics.get(f"{n}/ndcg@10", 0) for n in names]
        assert sum(sums) / len(events) == pytest.approx(whole)


def test_closed_forms():
    # Equals share their places.
    assert popularity_percentiles(COUNTS).tolist() == [0, 7 / 8, 1 / 2, 1 / 2, 1 / 8]
    # Recommended: item 1 three times, 2 twice, 4 once.
    found = recommended(torch.tensor([[1, 2], [2, 1], [1, 4]]), COUNTS)
    assert found == pytest.approx(
        {
            "coverage@2": 3 / 4,
            "novelty@2": (3 * 1 + 2 * 2 + 4) / 6,  # shares 1/2, 1/4, and one event of sixteen
            "popularity_percentile@2": (3 * 7 / 8 + 2 / 2 + 1 / 8) / 6,
            "popularity_ratio@2": (3 * 8 + 2 * 4) / 6 / ((64 + 16 + 16) / 16),
        }
    )
