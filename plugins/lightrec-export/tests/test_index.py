"""Exact search against sorting; approximate search against exact search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightrec_export import index
from lightrec_export.index import Approximate, Flat, top


def whole(values: torch.Tensor) -> torch.Tensor:
    """Small whole numbers, whose products are exact and often equal."""
    return (values * 2).round()


def sorted_out(table, bias, queries, k, allowed=None, seen=None):
    """Score in float64, forbid, sort stably: what any search must give."""
    scores = queries.double().numpy() @ table.double().numpy().T + bias.double().numpy()
    scores[:, 0] = -np.inf
    if allowed is not None:
        scores[~allowed.numpy()] = -np.inf
    if seen is not None:
        np.put_along_axis(scores, seen.numpy(), -np.inf, 1)
    items = np.argsort(-scores, 1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, items, 1)
    missing = ((0, 0), (0, k - items.shape[1]))
    best = np.pad(best, missing, constant_values=-np.inf)
    return np.pad(items, missing) * (best > -np.inf), best


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 700),
    batch=st.integers(0, 5),
    k=st.integers(1, 30),
    share=st.sampled_from([None, 0.0, 0.01, 0.2, 0.5, 1.0]),
    seen=st.integers(0, 20),
    at_once=st.sampled_from([index.SCORES, 300]),
)
def test_flat_finds_what_sorting_finds(seed, count, batch, k, share, seen, at_once):
    """Also where queries are searched in pieces."""
    torch.manual_seed(seed)
    table, bias = whole(torch.randn(count + 1, 3)), whole(torch.randn(count + 1))
    queries, barred = whole(torch.randn(batch, 3)), torch.randint(0, count + 1, (batch, seen))
    allowed = None if share is None else torch.rand(batch, count + 1) < share
    expected = sorted_out(table, bias, queries, k, allowed, barred)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "SCORES", at_once)
        result = Flat(table, bias).search(queries, k, allowed, barred)
    np.testing.assert_array_equal(result.items.numpy(), expected[0])
    np.testing.assert_allclose(result.scores.numpy(), expected[1], rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 10_000), columns=st.integers(1, 2_500), k=st.integers(1, 12))
def test_equal_scores_come_in_the_order_of_their_columns(seed, columns, k):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 9, (4, columns), generator=generator).float()
    result, order = top(scores, k), scores.sort(dim=1, descending=True, stable=True)
    assert result.items[:, :columns].equal(order.indices[:, :k])
    assert result.scores[:, :columns].equal(order.values[:, :k])


@pytest.fixture(scope="module")
def clusters():
    """Rows of a hundred clusters, biases, and queries that lie among them."""
    pytest.importorskip("faiss")
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(100, 16, generator=generator)
    drawn = torch.randint(0, 100, (4_101,), generator=generator)
    rows = centres[drawn] + 0.6 * torch.randn(4_101, 16, generator=generator)
    return rows[:4_001], torch.randn(4_001, generator=generator), rows[4_001:]


def shares(result, exact):
    return (exact.items[:, :, None] == result.items[:, None]).any(2).float().mean(1)


def test_most_of_the_best_are_found_and_scored_exactly(clusters):
    table, bias, queries = clusters
    near, flat = Approximate(*clusters), Flat(table, bias)
    result, exact = near.search(queries, 10), flat.search(queries, 10)
    assert near.recall == pytest.approx(float(shares(result, exact).mean()))
    assert near.recall >= 0.98
    scores = (table[result.items] * queries[:, None]).sum(2) + bias[result.items]
    torch.testing.assert_close(result.scores, scores)
    assert (result.scores[:, 1:] <= result.scores[:, :-1]).all()


@pytest.mark.parametrize(("share", "least"), [(0.0005, 1), (0.3, 1), (0.9, 0.97)])
def test_filters_do_not_cost_recall(clusters, share, least):
    table, bias, queries = clusters
    generator = torch.Generator().manual_seed(1)
    allowed = torch.rand(len(queries), len(table), generator=generator) < share
    seen = Flat(table, bias).search(queries, 30).items
    near = Approximate(*clusters).search(queries, 10, allowed, seen)
    exact = Flat(table, bias).search(queries, 10, allowed, seen)
    assert shares(near, exact).mean() >= least
    assert (near.items == 0).equal(exact.items == 0)
    assert (
        not (near.items[:, :, None] == seen[:, None]).logical_and(near.items[:, :, None] > 0).any()
    )


def test_an_approximate_index_of_few_items_leaves_places_empty():
    pytest.importorskip("faiss")
    near = Approximate(torch.tensor([[0.0], [1.0], [2.0]]), None, torch.ones(3, 1))
    assert near.recall == 1
    assert near.search(torch.ones(2, 1), 4).items.tolist() == [[2, 1, 0, 0]] * 2
