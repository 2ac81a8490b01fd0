"""Coverage, novelty and popularity in closed form."""

import math

import pytest
import torch

from lightrec.evaluation.beyond_accuracy import BeyondAccuracy, popularity_percentiles
from lightrec.ranking.metrics import top_items

COUNTS = torch.tensor([99, 8, 4, 4, 0])


def metrics_of(counts, cutoff, *batches):
    metric = BeyondAccuracy(counts, cutoff)
    for lists in batches:
        metric.update(torch.tensor(lists))
    return {name: value.item() for name, value in metric.compute().items()}


def test_percentiles_share_places_and_have_the_mean_one_half():
    assert popularity_percentiles(COUNTS).tolist() == [0, 7 / 8, 1 / 2, 1 / 2, 1 / 8]
    counts = torch.randint(0, 9, (200,), generator=torch.Generator().manual_seed(0))
    assert popularity_percentiles(counts)[1:].mean().item() == pytest.approx(0.5)


def test_closed_forms_over_two_batches():
    found = metrics_of(COUNTS, 2, [[1, 2, 4], [2, 1, 4]], [[1, 4, 3]])
    # Recommended: item 1 three times, 2 twice, 4 once; 3 only below the cutoff.
    assert found == pytest.approx(
        {
            "coverage@2": 3 / 4,
            "novelty@2": (3 * 1 + 2 * 2 + 4) / 6,  # shares 1/2, 1/4, and one event of sixteen
            "popularity_percentile@2": (3 * 7 / 8 + 2 / 2 + 1 / 8) / 6,
            "popularity_ratio@2": (3 * 8 + 2 * 4) / 6 / ((64 + 16 + 16) / 16),
        }
    )


def test_padding_is_no_recommendation():
    assert metrics_of(COUNTS, 3, [[1, 0, 0]]) == pytest.approx(
        {
            "coverage@3": 1 / 4,
            "novelty@3": 1,
            "popularity_percentile@3": 7 / 8,
            "popularity_ratio@3": 8 / 6,
        }
    )


def test_random_recommendations_are_as_novel_as_the_catalog():
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 100, (201,), generator=generator)
    lists = top_items(torch.rand(5000, 201, generator=generator), 10)
    metric = BeyondAccuracy(counts)
    metric.update(lists)
    found = metric.compute()
    assert found["coverage@10"] == 1
    assert found["popularity_percentile@10"].item() == pytest.approx(0.5, abs=0.005)
    own = counts[1:].double()
    bits = -(own / own.sum()).log2().mean().item()
    assert found["novelty@10"].item() == pytest.approx(bits, abs=0.02)


def test_what_is_drawn_as_people_choose_has_ratio_one():
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([0.0, 50, 30, 15, 5])
    lists = torch.multinomial(counts, 40_000, replacement=True, generator=generator)[:, None]
    found = metrics_of(counts, 1, lists.tolist())
    assert found["popularity_ratio@1"] == pytest.approx(1, abs=0.01)
    entropy = -sum(p * math.log2(p) for p in (0.5, 0.3, 0.15, 0.05))
    assert found["novelty@1"] == pytest.approx(entropy, abs=0.01)


def test_nothing_recommended_and_nothing_known():
    assert set(metrics_of(COUNTS, 2, [[0, 0]]).values()) == {0}
    found = metrics_of(torch.zeros(5), 1, [[3]])
    assert found["novelty@1"] == found["popularity_ratio@1"] == 0
    assert found["popularity_percentile@1"] == 0.5


def test_short_lists_are_refused():
    with pytest.raises(ValueError, match="Lists of 2 items say nothing of a cutoff of 3"):
        metrics_of(COUNTS, 3, [[1, 2]])
