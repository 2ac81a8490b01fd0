"""The ridge over texts against its definition, in plain loops and dense matrices."""

import numpy as np
import pytest
import torch

from lightrec.encoders.base import unit_vectors
from lightrec.encoders.words import word_weights
from lightrec.errors import NotApplicable
from lightrec.ranking.item_models import text_ridge
from lightrec.ranking.item_models.text_ridge import TextRidge
from tests.ranking.item_models.test_item_models import evidence

USERS = [[1, 2, 3, 4], [2, 3, 1, 2], [5, 1, 2, 5, 3], [4, 3], [1]]
N = 7
TEXTS = ["red tea", "red lamp", "tea lamp", "a red rope", "rope lamp", "red red tea", "rope"]
"""Items 6 and 7 have no events."""


def told():
    vectors = torch.randn(N + 1, 3, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    return evidence(USERS, N, vectors=vectors, texts=TEXTS)


def expected(given, l2, decay):
    features = np.hstack(
        [unit_vectors(given.vectors).numpy(), word_weights(TEXTS, np.arange(1, 6)).toarray()]
    ).astype(np.float64)
    counts, width = given.counts().double().numpy(), features.shape[1]
    gram, cross = l2 * np.eye(width), np.zeros((width, width))
    for user in USERS:
        for place in range(1, len(user)):
            loud = np.zeros(N + 1)
            for age, item in enumerate(reversed(user[:place])):
                loud[item] += decay**age
            read, target = (loud / np.linalg.norm(loud)) @ features, user[place]
            worth = counts[target] ** -text_ridge.POWER
            gram += worth * np.outer(read, read)
            cross += worth * np.outer(read, features[target])
    warm = features[counts > 0]
    own = warm.T @ warm + l2 / 10 * np.eye(width)
    return features, np.linalg.solve(gram, cross) @ np.linalg.inv(own)


def test_scores_are_least_squares_from_what_came_next(monkeypatch):
    given = told()
    features, inner = expected(given, 3.0, 0.8)
    histories = torch.tensor([[0, 2, 5], [7, 3, 3], [0, 0, 0]])
    loud = np.array([0.64, 0.8, 1.0])
    sought = np.stack([loud @ features[row] for row in histories.numpy()])
    model = TextRidge(3.0).fit(given)
    np.testing.assert_allclose(model.scores(histories), sought @ inner @ features.T, atol=1e-4)
    # In pieces the same; of a large catalog an item's heaviest columns, new items by themselves.
    monkeypatch.setattr(text_ridge, "PART", 3)
    torch.testing.assert_close(TextRidge(3.0).fit(given).matrix, model.matrix)
    monkeypatch.setattr(text_ridge, "DENSE", 1)
    monkeypatch.setattr(text_ridge, "BLOCK", 2 * N)
    large = TextRidge(3.0).fit(given).scores(histories)
    torch.testing.assert_close(large, model.scores(histories), atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(text_ridge, "KEPT", 1)
    assert (TextRidge(3.0).fit(given).weights[1:] != 0).sum(1).tolist() == [2] * N


def test_a_log_without_an_order_or_texts_is_refused():
    with pytest.raises(NotApplicable, match="no order"):
        TextRidge().fit(evidence(is_ordered=False))
    with pytest.raises(NotApplicable, match="no texts"):
        TextRidge().fit(evidence())
