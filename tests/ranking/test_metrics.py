"""Lists, with places for new items, and how they are judged: ranks and metrics."""

import math

import numpy as np
import pytest
import torch

from lightrec.errors import RunError
from lightrec.ranking import metrics
from lightrec.ranking.lists import diversified, with_explored_places, with_reserved_places
from lightrec.ranking.metrics import RankingResult, evaluate_scores, event_metrics, mean_ranks

RANX = {
    "ndcg@5": 0.07544456402014998,
    "ndcg@10": 0.12956598584183907,
    "recall@5": 0.125,
    "recall@10": 0.3,
    "mrr@5": 0.05916666666666666,
    "mrr@10": 0.08006944444444444,
}
"""What ranx 0.3.21 says of the queries below, where whatever was seen is no part of the run."""


def test_equal_to_ranx():
    generator = np.random.default_rng(7)
    catalog, scores = np.arange(1, 61), torch.from_numpy(generator.random((40, 61)))
    sizes = (generator.integers(1, 13) for _ in range(40))
    target = [min(generator.choice(catalog, size, replace=False)) for size in sizes]
    seen = [generator.choice(catalog, 8, replace=False).tolist() for _ in range(40)]
    ranks = mean_ranks(scores, torch.tensor(target), torch.tensor(seen))
    found = {name: float(x.mean()) for name, x in event_metrics(ranks, (5, 10)).items()}
    assert found == pytest.approx(RANX, abs=1e-9)


def naive_rank(scores, target, seen):
    items = [i for i in range(1, len(scores)) if i == target or i not in seen]
    order = sorted(items, key=lambda i: -scores[i])
    places = [place for place, i in enumerate(order, 1) if scores[i] == scores[target]]
    return sum(places) / len(places)


def test_ranks_equal_a_naive_computation():
    torch.manual_seed(0)
    scores = torch.randint(0, 8, (200, 31)).float()  # many ties
    scores[scores == 0] = -torch.inf
    target = torch.randint(1, 31, (200,))
    seen = torch.randint(0, 31, (200, 9))
    expected = [
        naive_rank(s, t, set(b))
        for s, t, b in zip(scores.tolist(), target.tolist(), seen.tolist(), strict=True)
    ]
    assert mean_ranks(scores, target, seen).tolist() == expected
    with pytest.raises(RunError, match="NaN"):
        mean_ranks(torch.tensor([[0.0, math.nan]]), torch.tensor([1]))


def test_closed_forms():
    values = event_metrics(torch.tensor([1.0, 3.0, 5.5, 11.0]))
    assert values["ndcg@10"].tolist() == pytest.approx([1, 0.5, 1 / math.log2(6.5), 0])
    assert values["ndcg@20"][3].item() == pytest.approx(1 / math.log2(12))
    assert values["recall@5"].tolist() == [1, 1, 0, 0]
    assert values["mrr@10"].tolist() == pytest.approx([1, 1 / 3, 1 / 5.5, 0])


def naive_list(scores, length, seen):
    items = [i for i in range(1, len(scores)) if i not in seen]
    chosen = sorted(items, key=lambda i: (-scores[i], i))[:length]
    return chosen + [0] * (length - len(chosen))


@pytest.mark.parametrize("length", [1, 4, 30, 40])
def test_lists_equal_a_stable_sort_without_the_seen(length):
    torch.manual_seed(0)
    scores = torch.randint(0, 6, (200, 31)).float()  # many ties
    scores[scores == 0] = -torch.inf
    seen = torch.randint(0, 31, (200, 12))
    expected = [
        naive_list(s, length, set(b)) for s, b in zip(scores.tolist(), seen.tolist(), strict=True)
    ]
    assert metrics.top_items(scores, length, seen).tolist() == expected
    plain = torch.rand(50, 31)  # no ties
    expected = [naive_list(row, length, set()) for row in plain.tolist()]
    assert metrics.top_items(plain, length).tolist() == expected


def batches(users, targets, seen):
    for u, t, s in zip(users, targets, seen, strict=True):
        yield {"user": torch.tensor(u), "target": torch.tensor(t), "seen": torch.tensor(s)}


def test_evaluates_a_scorer_and_compares_two():
    table = torch.tensor([[0, 3, 2, 1.0], [0, 1, 2, 3.0]])
    given = ([[0, 1], [1]], [[2, 2], [1]], [[[1], [0]], [[3]]])
    found = evaluate_scores(lambda b: table[b["user"]], batches(*given), list_length=2)
    assert found.lists.tolist() == [[2, 3], [3, 2], [2, 1]]
    assert found.users.tolist() == [0, 1, 1]
    assert found.ranks.tolist() == [1, 2, 2]
    nothing = batches(*given[:2], [[[0], [0]], [[0]]])
    unfiltered = evaluate_scores(lambda b: table[b["user"]], nothing)
    assert unfiltered.ranks.tolist() == [2, 2, 3]
    assert found.metrics((2,))["recall@2"] == 1
    assert found.paired(unfiltered, "recall@2").tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="same events"):
        found.paired(RankingResult(found.users, found.targets + 1, found.ranks))


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


def test_each_place_is_explored_by_chance():
    usual = torch.tensor([[-torch.inf, 1, 9, 9, 4, 5, 2]]).expand(20_000, -1)
    new = torch.full((7,), -torch.inf)
    new[2], new[3] = math.log(3), 0.0
    generator = torch.Generator().manual_seed(0)
    lists = with_explored_places(usual, new.expand(20_000, -1), 3, 0.2, generator)
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
