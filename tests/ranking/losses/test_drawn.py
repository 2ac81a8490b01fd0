"""Losses with negatives drawn row by row, against loops over the same draws."""

import math

import pytest
import torch
from torch.nn.functional import softplus as softplus_of

from lightrec.ranking import losses as module
from lightrec.ranking.losses import BCELoss, BPRLoss, GBCELoss
from tests.ranking.losses.cases import N, make, mean, softplus

K = 4


@pytest.fixture
def drawn(monkeypatch):
    """Fixed draws: some own, some seen, one row with none that counts."""
    table = torch.tensor(
        [[2, 1, 4, 4], [9, 8, 5, 1], [7, 7, 7, 7], [7, 6, 5, 4], [2, 3, 4, 5], [1, 2, 3, 9]]
    )
    assert table.shape == (6, K)
    monkeypatch.setattr(module.torch, "randint", lambda *_, **__: table)
    return table.tolist()


def counted(case, drawn, row):
    return [item for item in drawn[row] if item not in case.taken(row)]


@pytest.mark.parametrize("elements", [1, 1 << 26])
def test_bpr_by_hand(monkeypatch, drawn, elements):
    monkeypatch.setattr(module, "ELEMENTS", elements)
    case, rows = make(), []
    for row, scores in enumerate(case.scores):
        own = scores[case.target[row]]
        losses = [softplus(scores[item] - own) for item in counted(case, drawn, row)]
        rows.append(mean(losses) if losses else 0.0)
    assert rows[2] == rows[5] == 0
    assert case.loss(BPRLoss(K)).item() == pytest.approx(mean(rows), rel=1e-12)


def bce(case, drawn, beta):
    rows = []
    for row, scores in enumerate(case.scores):
        own = 1 / (1 + math.exp(-scores[case.target[row]]))
        others = [1 / (1 + math.exp(-scores[item])) for item in counted(case, drawn, row)]
        total = math.log(own**beta) + sum(math.log(1 - p) for p in others)
        rows.append(-total / (1 + len(others)))
    return mean(rows)


def test_bce_by_hand(drawn):
    case = make()
    assert case.loss(BCELoss(K)).item() == pytest.approx(bce(case, drawn, 1.0), rel=1e-9)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_by_hand(drawn, calibration):
    case, alpha = make(), K / (N - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    loss = case.loss(GBCELoss(K, calibration))
    assert loss.item() == pytest.approx(bce(case, drawn, beta), rel=1e-9)


def test_gbce_is_bce_without_calibration_and_with_all_negatives():
    assert GBCELoss(3, 0.0).weight(100) == pytest.approx(1)
    assert GBCELoss(10, 1.0).weight(101) == pytest.approx(0.1)
    assert GBCELoss(500, 0.9).weight(101) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_gbce_gives_the_probabilities_that_it_promises(share):
    """With t = 1 an item's best score is its probability's logit, whatever share is drawn."""
    chance, beta = 0.2, GBCELoss(round(share * 1000), 1.0).weight(1001)
    score = torch.tensor(math.log(chance / (1 - chance)), dtype=torch.float64, requires_grad=True)
    cost = chance * beta * softplus_of(-score) + (1 - chance) * share * softplus_of(score)
    (slope,) = torch.autograd.grad(cost, score)
    assert slope.item() == pytest.approx(0, abs=1e-12)


def test_all_items_are_drawn_alike():
    torch.manual_seed(0)
    case = make()
    states, target = case.states[:1].expand(4000, -1), case.target[:1].expand(4000)
    none = torch.zeros(4000, 1, dtype=torch.int64)
    _, negative, counts = BPRLoss(5).drawn(case.ranker, states, target, lambda rows: none[rows])
    share = 1 - counts.double().mean().item()
    assert share == pytest.approx(1 / N, abs=4 * (N - 1) ** 0.5 / N / 20_000**0.5)
    scores = torch.tensor(case.scores[0], dtype=torch.float64)
    frequencies = torch.stack([(negative - s).abs().lt(1e-9).double().mean() for s in scores])
    assert frequencies[0] == 0
    assert frequencies[1:].sum().item() == pytest.approx(1)
    assert (frequencies[1:] - 1 / N).abs().max() < 5 * (1 / N / 20_000) ** 0.5
