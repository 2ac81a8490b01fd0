"""Lists for strangers."""

import torch

from lightrec.closed_forms.diversity import diversified


def test_diversity_prefers_what_is_unlike_the_chosen():
    scores = torch.tensor([-torch.inf, 10.0, 9.0, 4.0, 1.0])
    vectors = torch.tensor([[0.0, 0], [1, 0], [1, 0.01], [0, 1], [-1, 0]])
    assert diversified(scores, vectors, 3, variety=0)[0].tolist() == [1, 2, 3]
    items, values = diversified(scores, vectors, 3)
    assert items.tolist() == [1, 3, 4]
    assert values.tolist() == [10, 4, 1]
    assert diversified(scores, vectors, 6)[0].tolist()[-2:] == [0, 0]
