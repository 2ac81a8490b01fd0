import numpy as np
import pytest
import torch

from lightrec.errors import RunError
from lightrec.ranking.ranker import WORDS, Ranker, likeness

COUNTS = torch.tensor([0, 5, 3, 0, 2, 4])


def cosines(table, rows, item):
    centred = table - table[rows].mean(0)
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return units @ units[item]


@pytest.fixture
def ranker():
    torch.manual_seed(0)
    ranker = Ranker(5, vector_size=4, size=8).eval()
    ranker.items.set_vectors(torch.nn.functional.pad(torch.randn(5, 4), (0, 0, 1, 0)))
    return ranker


def test_likeness_is_that_of_vectors_and_of_half_the_texts(ranker):
    own = cosines(ranker.item_vectors().detach().numpy(), [1, 2, 4, 5], 2)
    texts = cosines(ranker.items.vectors.numpy(), [1, 2, 3, 4, 5], 2)
    found = likeness(ranker, COUNTS, 2).numpy()
    expected = (own + WORDS * texts) / (1 + WORDS)
    np.testing.assert_allclose(found[[1, 4, 5]], expected[[1, 4, 5]], atol=1e-5)
    assert found[3] == pytest.approx(texts[3], abs=1e-5), "without events, by its text alone"
    assert (found[[0, 2]] == -np.inf).all()
    words = likeness(ranker, COUNTS, 2, "words").numpy()
    np.testing.assert_allclose(words[[1, 3, 4, 5]], texts[[1, 3, 4, 5]], atol=1e-5)
    of_new = cosines(ranker.items.vectors.numpy(), [1, 2, 3, 4, 5], 3)
    np.testing.assert_allclose(
        likeness(ranker, COUNTS, 3).numpy()[[1, 2, 4, 5]], of_new[[1, 2, 4, 5]], atol=1e-5
    )


def test_without_texts_events_alone_tell(ranker):
    plain = Ranker(5, size=8).eval()
    found = likeness(plain, COUNTS, 2)
    assert (found[[1, 4, 5]] > -1).all()
    assert found[3] == -torch.inf, "nothing is known of it"
    with pytest.raises(RunError, match="Words are asked for, and the ranker reads no texts"):
        likeness(plain, COUNTS, 2, "words")
    with pytest.raises(RunError, match="has no events"):
        likeness(plain, COUNTS, 3)
