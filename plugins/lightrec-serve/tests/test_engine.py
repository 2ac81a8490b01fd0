"""How a slate is chosen from scores, apart from any run."""

import math
from collections import Counter
from itertools import permutations

import pytest
import torch
from lightrec_serve.engine import Query
from lightrec_serve.slates import chosen

from lightrec.nn.plackett_luce import PlackettLuce

LOGITS = torch.tensor([-torch.inf, 1.0, -torch.inf, 0.5, -1.0])
"""Of items 0 to 4; items 1, 3 and 4 may come."""
NO_NEW = torch.zeros(0, dtype=torch.bool)


def test_the_best_come_in_order_and_no_more_than_may():
    ranked = chosen(LOGITS, NO_NEW, Query(k=9), 1.0, "blend")
    assert (ranked.items, ranked.scores) == ([1, 3, 4], [1.0, 0.5, -1.0])
    assert (ranked.propensities, ranked.log_prob) == ([1.0, 1.0, 1.0], 0.0)


def test_drawn_slates_follow_the_law_of_plackett_and_luce():
    temperature, draws = 2.0, 1000
    law = PlackettLuce(LOGITS.double() / temperature, slate_size=3)
    first, counts = (LOGITS.double() / temperature).softmax(0), Counter()
    for seed in range(draws):
        ranked = chosen(LOGITS, NO_NEW, Query(k=3, draw=True, seed=seed), temperature, "blend")
        expected = float(law.log_prob(torch.tensor(ranked.items)))
        assert ranked.log_prob == pytest.approx(expected, abs=1e-12)
        assert ranked.propensities[0] == pytest.approx(float(first[ranked.items[0]]))
        counts[tuple(ranked.items)] += 1
    for slate in permutations([1, 3, 4]):
        expected = draws * math.exp(float(law.log_prob(torch.tensor(slate))))
        # Four standard deviations of a binomial law.
        assert abs(counts[slate] - expected) < 4 * math.sqrt(expected) + 1, slate


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 1e30])
def test_propensities_hold_at_any_temperature(temperature):
    logits = torch.linspace(-50, 50, 200).index_fill(0, torch.tensor([0]), -torch.inf)
    best = chosen(logits, NO_NEW, Query(k=200), 1.0, "blend").items
    for seed in range(20):
        ranked = chosen(logits, NO_NEW, Query(k=200, draw=True, seed=seed), temperature, "blend")
        assert len({*ranked.items}) == 199
        assert all(0 < each <= 1 for each in ranked.propensities)
        assert ranked.propensities[-1] == 1
        assert ranked.log_prob == pytest.approx(sum(map(math.log, ranked.propensities)))
        assert (ranked.items == best) == (temperature < 1)
