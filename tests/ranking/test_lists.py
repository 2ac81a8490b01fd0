"""Lists for strangers, and places for new items."""

import math

import pytest
import torch

from lightrec.ranking.lists import diversified, with_explored_places, with_reserved_places

NEVER = -torch.inf


@pytest.mark.parametrize(
    ("places", "new", "expected"),
    [
        (0, [0.1, 0.5], [5, 4, 6, 1]),
        (1, [0.1, 0.5], [5, 4, 6, 3]),
        (2, [0.1, 0.5], [5, 4, 3, 2]),
        (3, [NEVER, 0.5], [5, 4, 6, 3]),  # only one is new: two of three places go back
        (3, [0.1, 0.5], [5, 4, 6, 1, 3, 2]),
    ],
)
def test_last_places_are_for_new_items(places, new, expected):
    usual = torch.tensor([[NEVER, 1, 9 if new[0] > 0 else 0, 9, 4, 5, 2]])
    fresh = torch.tensor([[NEVER, NEVER, *new, NEVER, NEVER, NEVER]])
    assert with_reserved_places(usual, fresh, len(expected), places).tolist() == [expected]


def test_a_list_ends_where_nothing_is_left():
    usual = torch.tensor([[-torch.inf, 1, -torch.inf, 2]])
    new = torch.full((1, 4), -torch.inf)
    assert with_reserved_places(usual, new, 3, 0).tolist() == [[3, 1, 0]]
    assert with_reserved_places(usual, new, 3, 2).tolist() == [[3, 1, 0]]


def explored(rate, draws=20_000):
    usual = torch.tensor([[-torch.inf, 1, 9, 9, 4, 5, 2]]).expand(draws, -1)
    new = torch.full((7,), -torch.inf)
    new[2], new[3] = math.log(3), 0.0
    generator = torch.Generator().manual_seed(0)
    return with_explored_places(usual, new.expand(draws, -1), 3, rate, generator)


def test_each_place_is_explored_by_chance():
    lists = explored(0.2)
    share = ((lists == 2) | (lists == 3)).float().mean(dim=0)
    # At most two items are new, which the third place feels: .2 (1 - .2 ** 2).
    torch.testing.assert_close(share, torch.tensor([0.2, 0.2, 0.192]), atol=0.01, rtol=0)
    assert all(len(set(row)) == 3 for row in lists[:100].tolist())
    usual = [[i for i in row if i not in (2, 3)] for row in lists.tolist()]
    assert all(row == [5, 4, 6][: len(row)] for row in usual)


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
