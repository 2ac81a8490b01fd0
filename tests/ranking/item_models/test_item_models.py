"""Each item model against its definition, computed in plain loops or by another library."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightrec.data.sequences import Sequences
from lightrec.errors import NotApplicable
from lightrec.ranking.item_models import item_to_item
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import Evidence, Popularity, RecentPopularity
from lightrec.ranking.item_models.item_to_item import (
    EASE,
    DirectionalCooccurrence,
    ItemKNN,
    NextItemRidge,
    TextNeighbours,
    WordNeighbours,
    users_by_items,
)

N = 6
USERS = [[1, 2, 3, 4], [2, 3, 1], [5, 1, 2, 6, 3], [4, 3], [6, 5, 4, 1]]
DAY = 86_400_000


def evidence(
    users=USERS, num_items=N, vectors=None, has_times=True, is_ordered=True, texts=()
) -> Evidence:
    items = np.array([item for user in users for item in user], np.int32)
    offsets = np.cumsum([0, *map(len, users)])
    times = np.arange(len(items), dtype=np.int64) * DAY
    log = Sequences(items, np.zeros(len(items), np.int8), offsets, times, has_times=has_times)
    vectors = torch.zeros(num_items + 1, 0) if vectors is None else vectors
    return Evidence(log, num_items, vectors, is_ordered, texts=texts)


def incidence() -> np.ndarray:
    table = np.zeros((len(USERS), N))
    for row, user in enumerate(USERS):
        table[row, np.array(user) - 1] = 1
    return table


def matrix(model) -> np.ndarray:
    assert not model.matrix[0].any()
    assert not model.matrix[:, 0].any()
    return model.matrix[1:, 1:].double().numpy()


def test_recent_popularity_halves():
    users = [[1, 2], [1, 3]]
    model = RecentPopularity(half_life=1 / 3).fit(evidence(users, 3))
    assert model.scores(torch.zeros(1, 1, dtype=torch.int64))[0].tolist() == pytest.approx(
        [0, 1 / 8 + 1 / 2, 1 / 4, 1]
    )
    assert Popularity().fit(evidence(users, 3)).counts.tolist() == [0, 2, 1, 1]
    with pytest.raises(NotApplicable, match="nothing is recent"):
        RecentPopularity().fit(evidence(has_times=False))


def test_ease_is_a_ridge_regression_of_each_item_on_the_others():
    table, l2 = incidence(), 3.0
    expected = np.zeros((N, N))
    for item in range(N):
        others = [i for i in range(N) if i != item]
        x = table[:, others]
        expected[others, item] = np.linalg.solve(x.T @ x + l2 * np.eye(N - 1), x.T @ table[:, item])
    np.testing.assert_allclose(matrix(EASE(l2, 1.0).fit(evidence())), expected, atol=1e-6)


def decayed_histories(decay):
    """Histories as decayed rows, and what followed each."""
    rows, targets = [], []
    for user in USERS:
        for end in range(1, len(user)):
            row = np.zeros(N)
            for age, item in enumerate(reversed(user[:end])):
                row[item - 1] += decay**age
            rows.append(row)
            targets.append(np.eye(N)[user[end] - 1])
    return np.array(rows), np.array(targets)


def test_next_item_ridge_is_a_regression_on_decayed_histories():
    decay, l2 = 0.7, 2.0
    x, y = decayed_histories(decay)
    x = np.vstack([x, math.sqrt(l2) * np.eye(N)])
    y = np.vstack([y, np.zeros((N, N))])
    expected = np.linalg.lstsq(x, y, rcond=None)[0]
    found = matrix(NextItemRidge(l2, decay).fit(evidence()))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    kept, large = [0, 1, 2, 3], NextItemRidge(l2, decay).fit(replace(evidence(), most=4))
    part = np.linalg.lstsq(
        np.vstack([x[:-N, kept], math.sqrt(l2) * np.eye(4)]),
        np.vstack([y[:-N, kept], np.zeros((4, 4))]),
        rcond=None,
    )[0]
    np.testing.assert_allclose(large.scores(torch.tensor([[2], [5]]))[0, 1:5], part[1], atol=1e-6)
    assert not large.scores(torch.tensor([[5]])).any()


def test_item_knn_is_a_shrunk_cosine():
    table, shrinkage = incidence(), 2.0
    norms = np.linalg.norm(table, axis=0)
    expected = table.T @ table / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(matrix(ItemKNN(shrinkage, 1.0).fit(evidence())), expected, atol=1e-6)


def test_cooccurrence_has_a_direction():
    model = DirectionalCooccurrence(decay=0.5, reach=2, power=1.0, power_after=0.5)
    found = matrix(model.fit(evidence([[1, 2, 3], [1, 3]], 3)))
    # 1 before 2 once; 1 before 3 once at two steps and once at one; 2 before 3 once.
    root = math.sqrt(2)
    expected = [[0, 1 / 2, 1.5 / 2 / root], [0, 0, 1 / root], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_text_neighbours_are_near_in_their_centred_vectors():
    vectors = torch.tensor([[0.0, 0], [2, 0], [1, 0], [0, 3], [0, 0]])
    found = matrix(TextNeighbours(power=3.0, decay=1.0).fit(evidence(num_items=4, vectors=vectors)))
    centred = vectors[1:4].numpy() - vectors[1:4].numpy().mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = np.zeros((4, 4))
    expected[:3, :3] = np.clip(unit @ unit.T, 0, None) ** 3
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(NotApplicable, match="no texts"):
        TextNeighbours().fit(evidence())


def test_word_neighbours_are_near_in_their_words():
    texts = ["blue nail polish", "blue hair mask", "nail file", "blue mask, nail file"]
    found = matrix(WordNeighbours(1.0, 1.0).fit(evidence([[1, 2, 3, 4]], 4, texts=texts)))
    # Of the words that three items have, all weigh alike; the others say nothing.
    root = 2**-0.5
    expected = [[0, root, root, 1], [root, 0, 0, root], [root, 0, 0, root], [1, root, root, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(NotApplicable, match="no words in common"):
        WordNeighbours().fit(evidence())


def test_als_folds_a_history_in_as_implicit_does():
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = ALS(factors=4, l2=0.5, alpha=3.0, iterations=10).fit(evidence())
    theirs = AlternatingLeastSquares(
        factors=4, regularization=0.5, alpha=1.0, iterations=10, random_state=0, num_threads=1
    )
    table = csr_matrix(users_by_items(evidence().log, N) * 4.0)
    theirs.fit(table, show_progress=False)
    expected = theirs.recalculate_user(0, table[0]) @ theirs.item_factors.T
    history = torch.tensor([[0, 4, 1, 2, 3, 3]])
    np.testing.assert_allclose(model.scores(history)[0, 1:].numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", [NextItemRidge(), DirectionalCooccurrence()])
def test_without_an_order_nothing_follows(model):
    with pytest.raises(NotApplicable, match="no order"):
        model.fit(evidence(is_ordered=False))
    assert EASE().values(evidence(is_ordered=False))["decay"] == [1.0]


def test_history_adds_up_recent_items_louder():
    model = EASE(3.0, 0.5).fit(evidence())
    weights = model.matrix
    history = torch.tensor([[0, 0, 2, 5], [1, 1, 3, 4]])
    expected = [
        0.5 * weights[2] + weights[5],
        0.125 * weights[1] + 0.25 * weights[1] + 0.5 * weights[3] + weights[4],
    ]
    torch.testing.assert_close(model.scores(history), torch.stack(expected))
    assert not model.scores(torch.zeros(1, 3, dtype=torch.int64)).any()


@pytest.mark.parametrize(
    "model",
    [
        EASE(3.0, 0.8),
        NextItemRidge(2.0, 0.8),
        ItemKNN(2.0, 0.8),
        DirectionalCooccurrence(0.8, power_after=0.25),
        TextNeighbours(1.0, 0.8),
        TextNeighbours(3.0, 0.8),
    ],
)
def test_large_catalogs_keep_neighbours_that_score_alike(model, monkeypatch):
    vectors = torch.randn(N + 1, 3, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    whole = model.fit(evidence(vectors=vectors))
    history = torch.tensor([[0, 0, 2, 5], [1, 6, 3, 4]])
    expected, table = whole.scores(history), matrix(whole)
    monkeypatch.setattr(item_to_item, "DENSE", 1)
    monkeypatch.setattr(item_to_item, "SORTED", 4)
    monkeypatch.setattr(item_to_item, "SOLVED", 4)
    monkeypatch.setattr(item_to_item, "ROWS", 1)
    large = type(model)(**model.settings).fit(evidence(vectors=vectors))
    assert large.matrix is None
    torch.testing.assert_close(large.scores(history), expected)
    monkeypatch.setattr(item_to_item, "KEPT", 2)
    few = type(model)(**model.settings).fit(evidence(vectors=vectors))
    assert few.weights.shape == (N + 1, 2)
    heaviest = -np.sort(-table, axis=1)[:, :2]
    np.testing.assert_allclose(few.weights[1:].numpy(), heaviest, atol=1e-6)
