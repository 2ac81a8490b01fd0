"""Plackett–Luce against enumeration, the categorical distribution and its own definition."""

from itertools import permutations

import pytest
import torch
from scipy.stats import chisquare

from lightrec.nn.plackett_luce import (
    EMPTY,
    PlackettLuce,
    at,
    expectation,
    log_probabilities,
    may_be_shown,
)

LOGITS = torch.tensor([0.3, -1.2, 2.0, 0.0, 0.7, -0.4], dtype=torch.float64)


def enumerated(logits: torch.Tensor, size: int) -> dict[tuple[int, ...], float]:
    """Probabilities of all ordered slates, straight from the definition."""
    weights = logits.exp().tolist()
    table = {}
    for slate in permutations(range(len(weights)), size):
        left, probability = sum(weights), 1.0
        for column in slate:
            probability *= weights[column] / left
            left -= weights[column]
        table[slate] = probability
    return table


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_log_probabilities_equal_the_definition_and_sum_to_one(size):
    table = enumerated(LOGITS, size)
    slates = torch.tensor(list(table))
    found = PlackettLuce(LOGITS.expand(len(slates), -1), slate_size=size).log_prob(slates)
    expected = torch.tensor(list(table.values()), dtype=torch.float64)
    torch.testing.assert_close(found.exp(), expected, rtol=1e-10, atol=1e-12)
    assert abs(found.exp().sum().item() - 1) < 1e-10


@pytest.mark.parametrize("size", [1, 2, 3])
def test_samples_follow_the_law(size):
    torch.manual_seed(0)
    table = enumerated(LOGITS, size)
    draws = PlackettLuce(LOGITS, slate_size=size).sample((60_000,))
    code = (draws * 6 ** torch.arange(size)).sum(-1)
    counts = torch.bincount(code, minlength=6**size)
    keys = [sum(c * 6**p for p, c in enumerate(slate)) for slate in table]
    assert counts[keys].sum() == 60_000, "a slate repeats a column"
    expected = [60_000 * p for p in table.values()]
    assert chisquare(counts[keys].tolist(), expected).pvalue > 0.001


def test_one_place_is_the_categorical_distribution():
    logits = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = PlackettLuce(logits)
    theirs = torch.distributions.Categorical(logits=logits)
    columns = torch.tensor([0, 6, 3, 2, 2])
    torch.testing.assert_close(ours.log_prob(columns[:, None]), theirs.log_prob(columns))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode.squeeze(-1), logits.argmax(-1))


def test_masked_columns_never_come_and_the_rest_is_renormalised():
    torch.manual_seed(2)
    mask = torch.tensor([True, False, True, True, False, True])
    masked = PlackettLuce(LOGITS, mask, 3)
    small = PlackettLuce(LOGITS[mask], slate_size=3)
    assert not torch.isin(masked.sample((500,)), torch.tensor([1, 4])).any()
    torch.testing.assert_close(
        masked.log_prob(torch.tensor([5, 0, 3])), small.log_prob(torch.tensor([3, 0, 2]))
    )
    torch.testing.assert_close(masked.entropy(), small.entropy())
    assert masked.mode.tolist() == [2, 0, 3]


def test_short_supply_leaves_places_empty():
    torch.manual_seed(3)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0, [1, 4]] = True
    logits = LOGITS.expand(2, 6).clone().requires_grad_()
    slates = PlackettLuce(logits, mask, 3).sample()
    assert sorted(slates[0].tolist()) == [EMPTY, 1, 4]
    assert slates[0, 2] == EMPTY
    assert slates[1].tolist() == [EMPTY] * 3
    distribution = PlackettLuce(logits, mask, 3)
    log_prob = distribution.log_prob(slates)
    pair = PlackettLuce(LOGITS[[1, 4]], slate_size=2)
    expected = pair.log_prob(torch.tensor([0, 1] if slates[0, 0] == 1 else [1, 0]))
    torch.testing.assert_close(log_prob[0], expected)
    assert log_prob[1] == 0
    (log_prob.sum() + distribution.entropy().sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_slate_longer_than_the_columns_is_refused():
    with pytest.raises(ValueError, match="between 1 and 6"):
        PlackettLuce(LOGITS, slate_size=7)


def test_nothing_to_show_is_worth_nothing():
    logits = torch.tensor([[-torch.inf, -torch.inf], [0.0, -torch.inf]], requires_grad=True)
    logs, shown = log_probabilities(logits), may_be_shown(logits)
    assert expectation(logs.exp(), torch.full((2, 2), 5.0), shown).tolist() == [0.0, 5.0]
    expectation(logs.exp(), logs, shown).sum().backward()
    assert logits.grad.isfinite().all()
    assert at(torch.tensor([[7.0, 8.0]]), torch.tensor([[1, -1]])).tolist() == [[8.0, 7.0]]
