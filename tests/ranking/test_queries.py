"""Several relevant items: ranx's numbers, all orders of equal items counted out, and properties."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.errors import RunError
from lightrec.ranking.metrics import event_metrics, impression_metrics, mean_ranks, query_metrics
from lightrec.ranking.running_metrics import QueryMetrics

RANX = {
    "ndcg@1": 0.1,
    "ndcg@5": 0.13942074417694322,
    "ndcg@10": 0.1910850310891923,
    "ndcg@20": 0.27002802887279487,
    "recall@1": 0.0369047619047619,
    "recall@5": 0.11092442279942279,
    "recall@10": 0.2346112914862915,
    "recall@20": 0.40980339105339103,
    "mrr@1": 0.1,
    "mrr@5": 0.21416666666666667,
    "mrr@10": 0.25294642857142857,
    "mrr@20": 0.2659442640692641,
    "hitrate@1": 0.1,
    "hitrate@5": 0.425,
    "hitrate@10": 0.7,
    "hitrate@20": 0.875,
}
"""What ranx 0.3.21 says of :func:`drawn`: qrels of value 1; the run holds each query's relevant
items and whatever was not seen."""

RANX_ONE = {
    "ndcg@5": 0.07544456402014998,
    "ndcg@10": 0.12956598584183907,
    "recall@5": 0.125,
    "recall@10": 0.3,
    "mrr@5": 0.05916666666666666,
    "mrr@10": 0.08006944444444444,
}
"""The same, where only the relevant item of lowest index is relevant."""


def drawn(queries=40, items=60):
    """Scores (Q, N + 1), relevant and seen items, from NumPy's generator with seed 7."""
    generator = np.random.default_rng(7)
    catalog = np.arange(1, items + 1)
    scores = generator.random((queries, items + 1))
    relevant = [
        sorted(generator.choice(catalog, generator.integers(1, 13), replace=False).tolist())
        for _ in range(queries)
    ]
    seen = [sorted(generator.choice(catalog, 8, replace=False).tolist()) for _ in range(queries)]
    return torch.from_numpy(scores), relevant, torch.tensor(seen)


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def of_order(order, relevant, k):
    """One query's metrics, from their definitions; the order is a list of items."""
    ranks = [r for r, item in enumerate(order[:k], 1) if item in relevant]
    ideal = sum(1 / math.log2(1 + r) for r in range(1, min(k, len(relevant)) + 1))
    return {
        "ndcg": sum(1 / math.log2(1 + r) for r in ranks) / ideal,
        "recall": len(ranks) / len(relevant),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "hitrate": float(bool(ranks)),
        "map": sum(n / r for n, r in enumerate(ranks, 1)) / min(k, len(relevant)),
    }


def test_equal_to_ranx():
    scores, relevant, seen = drawn()
    found = query_metrics(scores, padded(relevant), seen, (1, 5, 10, 20))
    means = {name: found[name].mean().item() for name in RANX}
    assert means == pytest.approx(RANX, abs=1e-9)


def test_one_relevant_item_is_equal_to_ranx_in_both_ways():
    scores, relevant, seen = drawn()
    target = torch.tensor([row[0] for row in relevant])
    events = event_metrics(mean_ranks(scores, target, seen), (5, 10))
    assert {n: v.mean().item() for n, v in events.items()} == pytest.approx(RANX_ONE, abs=1e-9)
    found = query_metrics(scores, target[:, None], seen, (5, 10))
    for name, value in events.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)
    assert torch.equal(found["hitrate@10"], found["recall@10"])


def test_equal_to_the_definitions_query_by_query():
    scores, relevant, seen = drawn()
    found = query_metrics(scores, padded(relevant), seen, (3, 10))
    for q, own in enumerate(relevant):
        items = [i for i in range(1, 61) if i in own or i not in seen[q].tolist()]
        order = sorted(items, key=lambda i, q=q: -scores[q, i].item())
        for k in (3, 10):
            for name, value in of_order(order, own, k).items():
                assert found[f"{name}@{k}"][q].item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_equal_scores_give_the_mean_over_all_orders(seed):
    generator = np.random.default_rng(seed)
    items = 6
    scores = generator.choice([0.0, 1.0, -np.inf], items + 1)
    relevant = generator.choice(np.arange(1, items + 1), 1 + seed % 3, replace=False).tolist()
    found = query_metrics(torch.from_numpy(scores)[None], padded([relevant]), None, (1, 2, 4, 9))
    # A stable sort of all permutations stands for every order of equal items equally often.
    orders = [
        sorted(order, key=lambda i: -scores[i]) for order in permutations(range(1, items + 1))
    ]
    for k in (1, 2, 4, 9):
        # How deep another cutoff looks changes nothing.
        alone = query_metrics(torch.from_numpy(scores)[None], padded([relevant]), None, (k,))
        assert all(torch.equal(found[name], value) for name, value in alone.items())
        each = [of_order(order, relevant, k) for order in orders]
        for name in each[0]:
            mean = sum(values[name] for values in each) / len(each)
            assert found[f"{name}@{k}"].item() == pytest.approx(mean, abs=1e-12)


def test_a_constant_scorer_gains_what_a_random_one_gains():
    relevant = torch.tensor([[3, 50, 100]])
    found = query_metrics(torch.zeros(1, 101), relevant, None, (10,))
    none = math.comb(97, 10) / math.comb(100, 10)
    ideal = sum(1 / math.log2(1 + r) for r in range(1, 4))
    gain = sum(1 / math.log2(1 + r) for r in range(1, 11))
    assert found["recall@10"].item() == pytest.approx(0.1, abs=1e-12)
    assert found["hitrate@10"].item() == pytest.approx(1 - none, abs=1e-12)
    assert found["ndcg@10"].item() == pytest.approx(gain * 0.03 / ideal, abs=1e-12)
    scores = torch.rand(40_000, 101, generator=torch.Generator().manual_seed(0))
    random = query_metrics(scores, relevant.expand(40_000, 3), None, (10,))
    for name, value in found.items():
        assert random[name].mean().item() == pytest.approx(value.item(), abs=0.006)


def test_seen_items_of_score_minus_infinity_take_no_part():
    scores = torch.tensor([[0.0, -torch.inf, -torch.inf, -torch.inf, 1.0]])
    seen = torch.tensor([[3, 0]])
    found = query_metrics(scores, torch.tensor([[1]]), seen, (2, 3))
    # Item 4 is first; 1 and 2 share the places after it.
    assert found["recall@2"].item() == pytest.approx(0.5)
    assert found["mrr@3"].item() == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_padding_and_doubles_change_nothing():
    scores = torch.rand(1, 30, generator=torch.Generator().manual_seed(1))
    plain = query_metrics(scores, torch.tensor([[4, 9]]))
    odd = query_metrics(scores, torch.tensor([[0, 9, 4, 9, 0]]))
    assert all(torch.equal(odd[name], value) for name, value in plain.items())


def test_a_query_without_relevant_items_is_refused():
    with pytest.raises(RunError, match=r"1 queries .* first one in row 1"):
        query_metrics(torch.rand(2, 5), torch.tensor([[1], [0]]))


def test_metric_of_batches_is_the_whole_and_of_nothing_is_zero():
    scores, relevant, seen = drawn()
    relevant = padded(relevant)
    metric = QueryMetrics((5, 10))
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute()["hitrate@5"] == 0
    metric.reset()
    metric.update(scores[:13], relevant[:13], seen[:13])
    metric.update(scores[13:], relevant[13:], seen[13:])
    found = metric.compute()
    assert {n: found[n].item() for n in found if n in RANX} == pytest.approx(
        {n: v for n, v in RANX.items() if n in found}, abs=1e-9
    )


@st.composite
def queries(draw):
    items = draw(st.integers(2, 12))
    levels = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
    scores = draw(st.lists(levels, min_size=items, max_size=items))
    relevant = draw(st.lists(st.integers(1, items), min_size=1, max_size=items))
    seen = draw(st.lists(st.integers(0, items), min_size=1, max_size=items))
    order = draw(st.permutations(range(1, items + 1)))
    return torch.tensor([[9.0, *scores]]), relevant, seen, [0, *order]


@given(queries())
@settings(max_examples=150, deadline=None)
def test_properties(query):
    scores, relevant, seen, order = query
    cutoffs = range(1, scores.shape[1] + 1)
    found = query_metrics(scores, torch.tensor([relevant]), torch.tensor([seen]), cutoffs)
    assert all(-1e-12 <= value.item() <= 1 + 1e-12 for value in found.values())
    for name in ("recall", "mrr", "hitrate"):
        values = [found[f"{name}@{k}"].item() for k in cutoffs]
        assert all(a <= b + 1e-12 for a, b in pairwise(values))
        if name != "mrr":
            assert values[-1] == pytest.approx(1)
    for k in cutoffs:
        recall, mrr, hit = (found[f"{n}@{k}"].item() for n in ("recall", "mrr", "hitrate"))
        assert recall <= hit + 1e-12
        assert mrr <= hit + 1e-12
    # Items under other numbers, and scores on another scale, are the same ranking.
    renamed = torch.empty_like(scores)
    renamed[:, order] = scores
    new = [[order[item] for item in items] for items in (relevant, seen)]
    again = query_metrics(renamed.exp(), torch.tensor([new[0]]), torch.tensor([new[1]]), cutoffs)
    for name, value in found.items():
        assert again[name].item() == pytest.approx(value.item(), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_impressions_are_ranked_among_what_was_shown(seed):
    """AUC by counting pairs; all else as of a query in which only what was shown is there."""
    generator = np.random.default_rng(seed)
    scores = generator.choice([0.1, 0.2, 0.3, 0.4], (30, 9))
    shown = np.arange(9) < generator.integers(3, 10, 30)[:, None]
    clicked = generator.random((30, 9)) < 0.3
    clicked[:, 0], clicked[:, 1] = True, False
    clicked &= shown
    found = impression_metrics(
        *(torch.from_numpy(array) for array in (scores, clicked, shown)), cutoffs=(3, 5)
    )
    for row in range(30):
        ours = scores[row][clicked[row]]
        others = scores[row][shown[row] & ~clicked[row]]
        pairs = [(a > b) + (a == b) / 2 for a in ours for b in others]
        assert found["auc"][row].item() == pytest.approx(np.mean(pairs), abs=1e-12)
        few = torch.from_numpy(np.concatenate([[0.0], scores[row][shown[row]]]))[None]
        alone = query_metrics(few, torch.from_numpy(np.flatnonzero(clicked[row]) + 1)[None])
        assert found["map@5"][row].item() == pytest.approx(alone["map@5"].item(), abs=1e-12)
        assert found["ndcg@5"][row].item() == pytest.approx(alone["ndcg@5"].item(), abs=1e-12)


def test_an_impression_of_clicks_alone_has_no_auc():
    whole = torch.ones(1, 2, dtype=torch.bool)
    assert impression_metrics(torch.tensor([[1.0, 2.0]]), whole)["auc"].isnan()
    with pytest.raises(RunError, match="no relevant item"):
        impression_metrics(torch.tensor([[1.0, 2.0]]), ~whole)
