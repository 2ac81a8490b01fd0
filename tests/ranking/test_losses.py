"""Losses against loops, torch's own cross-entropy and each other."""

import math
from statistics import fmean

import pytest
import torch
from torch.nn import functional

from lightrec.ranking import losses as module
from lightrec.ranking.losses import SampledSoftmaxLoss, SoftmaxLoss, draw_negatives, proposal
from lightrec.ranking.ranker import Ranker

N, D = 9, 4


class Case:
    """Six predictions over nine items; rows 0 and 3 have the same target, row 5 has seen all."""

    def __init__(self, dtype=torch.float64):
        torch.manual_seed(0)
        self.ranker = Ranker(N, size=D).to(dtype)
        for parameter in self.ranker.parameters():
            torch.nn.init.normal_(parameter)
        self.target = torch.tensor([2, 5, 7, 2, 1, 4])
        self.table = torch.zeros(6, 8, dtype=torch.int64)
        self.table[0, :2], self.table[1, :3] = torch.tensor([1, 3]), torch.tensor([5, 5, 8])
        self.table[3, 5], self.table[5] = 7, torch.tensor([1, 2, 3, 5, 6, 7, 8, 9])
        self.states = torch.randn(6, D, dtype=dtype, requires_grad=True)

    @property
    def scores(self):
        """(row, item), item 0 unused."""
        return self.states @ self.ranker.item_vectors().T + self.ranker.bias

    def taken(self, row):
        """Items that are no negatives of a row."""
        return {0, int(self.target[row]), *self.table[row].tolist()}

    def loss(self, loss):
        return loss(self.ranker, self.states, self.target, self.table.__getitem__)


POPULARITY = torch.tensor([0.0, 4, 1, 1, 3, 0, 9, 2, 2, 8])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("elements", [1, 30, 1 << 22])
def test_full_softmax_is_cross_entropy(monkeypatch, dtype, close, elements):
    monkeypatch.setattr(module, "LOGITS", elements)
    monkeypatch.setattr(module, "ROWS", 1)
    case, other = Case(dtype), Case(dtype)
    loss = case.loss(SoftmaxLoss())
    loss.backward()

    logits = other.scores
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    for row in range(6):
        left_out[row, [i for i in other.taken(row) if i != other.target[row]]] = True
    expected = functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), other.target)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=close)
    both = ((each.states, each.ranker.items.ids, each.ranker.bias) for each in (case, other))
    for found, wanted in zip(*both, strict=True):
        assert torch.allclose(found.grad, wanted.grad, atol=close)


def test_sampled_softmax_by_hand(monkeypatch):
    case, loss = Case(), SampledSoftmaxLoss(7, power=1.0)
    loss.prepare(POPULARITY)
    drawn = torch.tensor([2, 3, 6, 9])
    monkeypatch.setattr(
        module, "draw_negatives", lambda p, k: (drawn, -(1 - (1 - p[drawn]) ** k).log())
    )
    total = sum(POPULARITY.tolist()) + N
    rows = []
    for row, scores in enumerate(case.scores.tolist()):
        own, mass = scores[case.target[row]], 0.0
        for item in drawn.tolist():
            if item not in case.taken(row):
                chance = (float(POPULARITY[item]) + 1) / total
                mass += math.exp(scores[item]) / (1 - (1 - chance) ** 7)
        rows.append(math.log(math.exp(own) + mass) - own)
    assert case.loss(loss).item() == pytest.approx(fmean(rows), rel=1e-6)


def test_negatives_by_the_thousand_equal_the_full_softmax():
    case, loss = Case(), SampledSoftmaxLoss(100_000)
    loss.prepare(POPULARITY)
    assert case.loss(loss).item() == pytest.approx(case.loss(SoftmaxLoss()).item(), rel=1e-5)


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
