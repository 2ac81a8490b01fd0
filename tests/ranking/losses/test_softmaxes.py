"""The softmaxes against loops, torch's own cross-entropy, and each other."""

import math

import pytest
import torch
from torch.nn import functional

from benchmarks.measure.softmax_step import step
from lightrec.ranking import losses as module
from lightrec.ranking.losses import (
    InBatchLoss,
    SampledSoftmaxLoss,
    SoftmaxLoss,
    draw_negatives,
    proposal,
)
from tests.processes import apart
from tests.ranking.losses.cases import N, make, mean

POPULARITY = torch.tensor([0.0, 4, 1, 1, 3, 0, 9, 2, 2, 8])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("elements", [1, 30, 1 << 22])
def test_full_softmax_is_cross_entropy(monkeypatch, dtype, close, elements):
    monkeypatch.setattr(module, "LOGITS", elements)
    monkeypatch.setattr(module, "ROWS", 1)
    case, other = make(dtype), make(dtype)
    loss = case.loss(SoftmaxLoss())
    loss.backward()

    logits = other.states @ other.ranker.item_vectors().T + other.ranker.bias
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    for row in range(6):
        left_out[row, [i for i in other.taken(row) if i != other.target[row]]] = True
    expected = functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), other.target)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=close)
    for found, wanted in (
        (case.states, other.states),
        (case.ranker.items.ids, other.ranker.items.ids),
        (case.ranker.bias, other.ranker.bias),
    ):
        assert torch.allclose(found.grad, wanted.grad, atol=close)


def test_a_step_over_many_items_adds_little_memory():
    """The logits of the 500 targets alone would take 0.37 GiB."""
    (found,) = apart(step, (200_000, 64, 10))
    assert found["held_gib"] == pytest.approx(4 * 200_001 * 65 * 4 / 2**30, rel=0.01)
    assert found["added_gib"] < 0.3


def test_full_softmax_by_hand():
    case = make()
    rows = []
    for row, scores in enumerate(case.scores):
        own = scores[case.target[row]]
        others = [scores[item] for item in range(1, N + 1) if item not in case.taken(row)]
        rows.append(math.log(math.exp(own) + sum(map(math.exp, others))) - own)
    assert rows[5] == pytest.approx(0, abs=1e-12)
    assert case.loss(SoftmaxLoss()).item() == pytest.approx(mean(rows), rel=1e-9)


def test_sampled_softmax_by_hand(monkeypatch):
    case, loss = make(), SampledSoftmaxLoss(7, power=1.0)
    loss.prepare(POPULARITY)
    drawn = torch.tensor([2, 3, 6, 9])
    monkeypatch.setattr(
        module, "draw_negatives", lambda p, k: (drawn, -(1 - (1 - p[drawn]) ** k).log())
    )
    total = sum(POPULARITY.tolist()) + N
    rows = []
    for row, scores in enumerate(case.scores):
        own, mass = scores[case.target[row]], 0.0
        for item in drawn.tolist():
            if item not in case.taken(row):
                chance = (float(POPULARITY[item]) + 1) / total
                mass += math.exp(scores[item]) / (1 - (1 - chance) ** 7)
        rows.append(math.log(math.exp(own) + mass) - own)
    assert case.loss(loss).item() == pytest.approx(mean(rows), rel=1e-6)


def test_negatives_by_the_thousand_equal_the_full_softmax():
    case, loss = make(), SampledSoftmaxLoss(100_000)
    loss.prepare(POPULARITY)
    assert case.loss(loss).item() == pytest.approx(case.loss(SoftmaxLoss()).item(), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_in_batch_by_hand(temperature):
    case, loss = make(), InBatchLoss(temperature)
    loss.prepare(POPULARITY)
    total = sum(POPULARITY.tolist()) + N
    rows = []
    for row, scores in enumerate(case.scores):
        own, mass = scores[case.target[row]] / temperature, 0.0
        for other in range(6):
            item = int(case.target[other])
            if other == row or item in case.taken(row):
                continue
            chance = (float(POPULARITY[item]) + 1) / total
            mass += math.exp(scores[item] / temperature - math.log(5 * chance))
        rows.append(math.log(math.exp(own) + mass) - own)
    assert rows[5] == pytest.approx(0, abs=1e-12)
    assert case.loss(loss).item() == pytest.approx(mean(rows), rel=1e-6)


def test_in_batch_sums_estimate_the_whole_catalog_without_bias():
    torch.manual_seed(0)
    case, loss, own = make(), InBatchLoss(), 3
    loss.prepare(POPULARITY)
    states = case.states.detach()[:1].expand(40, -1)
    scores = torch.tensor(case.scores[0], dtype=torch.float64)
    # All rows but the first have seen everything and cost nothing.
    seen = torch.arange(N + 1).repeat(40, 1)
    seen[0] = 0
    masses = []
    for _ in range(2000):
        target = torch.multinomial(proposal(POPULARITY, 1.0), 40, replacement=True)
        target[0] = own
        with torch.no_grad():
            first = 40 * loss(case.ranker, states, target, lambda rows: seen[rows])
        masses.append(scores[own].exp() * first.expm1())
    found = torch.stack(masses)
    error = found.std() / len(found) ** 0.5
    truth = scores[1:].exp().sum() - scores[own].exp()
    assert abs(found.mean() - truth) < 4 * error
    assert error < 0.02 * truth


def test_proposal_is_flattened_popularity():
    counts = torch.tensor([5.0, 15.0, 0.0, 80.0])
    assert proposal(counts, 1).tolist() == pytest.approx([0, 16 / 98, 1 / 98, 81 / 98])
    assert proposal(counts, 0).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])


def test_corrected_sample_estimates_the_partition_without_bias():
    torch.manual_seed(0)
    logits = torch.randn(51)
    chances = proposal(torch.randint(0, 100, (51,)).float())
    draws = []
    for _ in range(4000):
        items, correction = draw_negatives(chances, 20)
        assert 0 not in items
        draws.append((logits[items] + correction).exp().sum())
    draws = torch.stack(draws)
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - logits[1:].exp().sum()) < 4 * error
    assert error < 0.02 * draws.mean()
