import pytest
import torch

from lightrec.ranking import softmax_loss as module
from lightrec.ranking.losses import draw_negatives, proposal
from lightrec.ranking.softmax_loss import softmax_loss


def problem(rows=13, items=11, size=4):
    torch.manual_seed(0)
    tensors = [torch.randn(rows, size), torch.randn(items, size), torch.randn(items)]
    target = torch.randint(1, items, (rows,))
    seen = torch.randint(0, items, (rows, 3))
    return [t.double().requires_grad_() for t in tensors], target, seen


@pytest.mark.parametrize("elements", [1, 30, 1 << 20])
def test_equals_cross_entropy_on_masked_logits(monkeypatch, elements):
    monkeypatch.setattr(module, "ELEMENTS", elements)
    monkeypatch.setattr(module, "ROWS", 1)
    (states, weights, bias), target, seen = problem()
    logits = states @ weights.T + bias
    masked = logits.scatter(1, seen, -torch.inf)
    masked[:, 0] = -torch.inf
    masked = masked.scatter(1, target[:, None], logits.gather(1, target[:, None]))
    expected = torch.nn.functional.cross_entropy(masked, target)
    wanted = torch.autograd.grad(3 * expected, (states, weights, bias))

    blocked = torch.cat([target[:, None], torch.zeros_like(target)[:, None], seen], dim=1)
    positive = (states * weights[target]).sum(1) + bias[target]
    loss = softmax_loss(states, weights, bias, lambda rows: blocked[rows], positive)
    found = torch.autograd.grad(3 * loss, (states, weights, bias))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


def test_a_row_without_rivals_costs_nothing():
    states = torch.randn(1, 2, requires_grad=True)
    loss = softmax_loss(
        states,
        torch.randn(2, 2),
        torch.zeros(2),
        lambda rows: torch.tensor([[0, 1]])[rows],
        states.sum(1),
    )
    loss.backward()
    assert loss.item() == 0
    assert states.grad.abs().sum() == 0


def test_no_rows():
    states = torch.randn(0, 2, requires_grad=True)
    empty = torch.zeros(0, 1, dtype=torch.int64)
    loss = softmax_loss(
        states, torch.randn(3, 2), torch.zeros(3), lambda rows: empty[rows], states.sum(1)
    )
    loss.backward()
    assert loss.item() == 0


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
