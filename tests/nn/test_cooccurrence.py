import numpy as np
import pytest
import torch

from lightrec.nn import cooccurrence as module
from lightrec.nn.cooccurrence import cooccurrence, leading_vectors


def test_counts_pairs_within_a_user_by_distance():
    items = np.array([1, 2, 3, 3, 1, 2], dtype=np.int32)
    offsets = np.array([0, 4, 4, 6])
    found = cooccurrence(items, offsets, 3, decay=0.5, reach=2).toarray()
    expected = np.zeros((3, 3))
    for first, second, value in [(1, 2, 1), (2, 3, 1), (3, 3, 1), (1, 3, 0.5), (2, 3, 0.5)]:
        expected[first - 1, second - 1] += value
    expected[0, 1] += 1  # the third user's
    assert found.tolist() == expected.tolist()


def random_matrix(num_items):
    generator = np.random.default_rng(0)
    items = generator.zipf(1.6, 40 * num_items) % num_items + 1
    offsets = np.arange(0, len(items) + 1, 20)
    return cooccurrence(items.astype(np.int32), offsets, num_items, 0.8, 5)


def test_dense_and_iterative_decompositions_agree(monkeypatch):
    matrix = random_matrix(60)
    dense = leading_vectors(matrix, 5)
    monkeypatch.setattr(module, "DENSE", 0)
    iterative = leading_vectors(matrix, 5)
    products = [table[1:] @ table[1:].T for table in (dense, iterative)]
    assert torch.allclose(*products, atol=0.05)
    assert torch.equal(iterative, leading_vectors(matrix, 5))


def test_vectors_rebuild_a_matrix_of_low_rank():
    matrix = random_matrix(30)
    table = leading_vectors(matrix, 30)
    assert table.shape == (31, 30)
    assert table[0].abs().sum() == 0
    assert table[1:].square().sum(1).mean().item() == pytest.approx(1, abs=1e-5)
    # The leading vector of the normalised matrix is the root of the degrees.
    degree = np.sqrt(np.asarray(matrix.sum(0) + matrix.sum(1)).ravel())
    lead = table[1:, 28].numpy()
    assert np.abs(np.corrcoef(lead, degree)[0, 1]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("size", [1, 8])
def test_a_log_without_pairs_gives_zeros(size):
    matrix = cooccurrence(np.array([1, 1], dtype=np.int32), np.array([0, 1, 2]), 3, 0.9, 4)
    assert leading_vectors(matrix, size).tolist() == torch.zeros(4, size).tolist()
