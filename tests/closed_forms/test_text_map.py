"""Cold items by their texts, places reserved for them, and lists for strangers."""

import numpy as np
import pytest
import torch

from lightrec.closed_forms.diversity import diversified
from lightrec.closed_forms.neighbours import unit_vectors
from lightrec.closed_forms.text_map import TextMap, with_reserved_places

N, V = 12, 4
GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(N + 1, V, generator=GENERATOR)
VECTORS[0] = VECTORS[11] = 0  # item 11 has no text
COUNTS = torch.tensor([0, 3, 1, 0, 2, 5, 1, 0, 4, 2, 7, 3, 0])  # items 3, 7 and 12 are cold
SCORES = torch.randn(3, N + 1, generator=GENERATOR)
WARM, COLD = [1, 2, 4, 5, 6, 8, 9, 10], [3, 7, 12]


def ridge(x, z, l2):
    return np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ z)


def test_cold_items_have_the_scores_that_a_regression_on_texts_foretells():
    x = unit_vectors(VECTORS).double().numpy()
    found = TextMap(VECTORS, COUNTS, l2=2.0).scores(SCORES)
    z = SCORES[:, WARM].double().numpy()
    z = z - z.mean(1, keepdims=True)
    expected = x[COLD] @ ridge(x[WARM], z.T, 2.0)
    np.testing.assert_allclose(found[:, COLD].numpy(), expected.T, atol=1e-5)
    others = [i for i in range(N + 1) if i not in COLD]
    assert (found[:, others] == -torch.inf).all()


def test_warm_items_as_if_cold_are_foretold_by_all_others():
    x = unit_vectors(VECTORS).double().numpy()
    found = TextMap(VECTORS, COUNTS, l2=2.0).as_if_cold(SCORES)
    z = SCORES[:, WARM].double().numpy()
    z = z - z.mean(1, keepdims=True)
    for place, item in enumerate(WARM):
        rest = [i for i in range(len(WARM)) if i != place]
        kept = [WARM[i] for i in rest]
        expected = x[item] @ ridge(x[kept], z[:, rest].T, 2.0)
        np.testing.assert_allclose(found[:, item].numpy(), expected, atol=1e-5)


def test_scores_of_cold_items_are_not_looked_at():
    changed = SCORES.clone()
    changed[:, COLD] = 99.0
    changed[:, 0] = -torch.inf
    mapped = TextMap(VECTORS, COUNTS, l2=2.0)
    torch.testing.assert_close(mapped.scores(changed), mapped.scores(SCORES))


@pytest.mark.parametrize(
    ("length", "places", "expected"),
    [
        (4, 0, [5, 4, 6, 1]),
        (4, 1, [5, 4, 6, 3]),
        (4, 2, [5, 4, 3, 2]),
        (4, 3, [5, 4, 6, 3]),
        (6, 3, [5, 4, 6, 1, 3, 2]),
    ],
)
def test_last_places_are_for_new_items(length, places, expected):
    usual = torch.tensor([[-torch.inf, 1, 9, 9, 4, 5, 2]])
    new = torch.full((1, 7), -torch.inf)
    new[0, 3], new[0, 2] = 0.5, 0.1
    if places == 3 and length == 4:
        new[0, 2] = -torch.inf  # only one is new: two of three places go back
        usual[0, 2] = 0
    assert with_reserved_places(usual, new, length, places).tolist() == [expected]


def test_a_list_ends_where_nothing_is_left():
    usual = torch.tensor([[-torch.inf, 1, -torch.inf, 2]])
    new = torch.full((1, 4), -torch.inf)
    assert with_reserved_places(usual, new, 3, 0).tolist() == [[3, 1, 0]]
    assert with_reserved_places(usual, new, 3, 2).tolist() == [[3, 1, 0]]


def test_diversity_prefers_what_is_unlike_the_chosen():
    scores = torch.tensor([-torch.inf, 10.0, 9.0, 4.0, 1.0])
    vectors = torch.tensor([[0.0, 0], [1, 0], [1, 0.01], [0, 1], [-1, 0]])
    assert diversified(scores, vectors, 3, variety=0)[0].tolist() == [1, 2, 3]
    items, values = diversified(scores, vectors, 3)
    assert items.tolist() == [1, 3, 4]
    assert values.tolist() == [10, 4, 1]
    assert diversified(scores, vectors, 6)[0].tolist()[-2:] == [0, 0]
