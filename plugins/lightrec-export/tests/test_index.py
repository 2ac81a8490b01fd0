"""The search against sorting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightrec_export import index
from lightrec_export.index import Flat, top


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
