"""Lists for strangers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightrec.ranking.lists import diversified


def test_diversity_prefers_what_is_unlike_the_chosen():
    scores = torch.tensor([-torch.inf, 10.0, 9.0, 4.0, 1.0])
    vectors = torch.tensor([[0.0, 0], [1, 0], [1, 0.01], [0, 1], [-1, 0]])
    items, values = diversified(scores, vectors, 3, variety=0)
    assert items.tolist() == [1, 2, 3]
    assert values.tolist() == pytest.approx([1, 0.9, 0.4])
    items, values = diversified(scores, vectors, 4)
    assert items.tolist() == [1, 3, 4, 2]
    # Half of the score as a share of the highest, less half of the nearest cosine.
    assert values.tolist() == pytest.approx([0.5, 0.2, 0.05, 0.45 - 0.5], abs=1e-4)
    assert diversified(scores, vectors, 6)[0].tolist()[-2:] == [0, 0]
    assert diversified(scores, vectors, 4, variety=1)[0].tolist() == [1, 3, 4, 2]


@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 12))
def test_what_was_chosen_later_was_worth_no_more(seed, variety, length):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(10, generator=generator).masked_fill(torch.arange(10) == 0, -torch.inf)
    vectors = torch.randn(10, 3, generator=generator)
    items, values = diversified(scores, vectors, length, variety)
    assert (values.diff().nan_to_num(0.0) <= 1e-6).all()
    assert (values.isinf() == (items == 0)).all()
