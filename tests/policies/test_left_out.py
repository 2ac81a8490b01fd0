"""Ridge regression with rows left out: against fits that did leave them out."""

import pytest
import torch

from lightrec.policies.tower import fit_left_out


def data(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    inputs = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return inputs, inputs[:, :2] * torch.tensor([3.0, 0.0]) + noise + 5


@pytest.mark.parametrize(("rows", "columns"), [(20, 4), (8, 30)])
def test_predictions_are_those_of_fits_without_the_row(rows, columns):
    inputs, targets = data(rows, columns)
    weights, predicted = fit_left_out(inputs, targets, [0.7])
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)

    def ridge(kept):
        gram = x[kept].T @ x[kept] + 0.7 * torch.eye(columns, dtype=torch.float64)
        return torch.linalg.solve(gram, x[kept].T @ y[kept])

    torch.testing.assert_close(weights, ridge(torch.arange(rows)))
    for row in range(rows):
        kept = torch.arange(rows) != row
        torch.testing.assert_close(predicted[row], x[row] @ ridge(kept))


def test_one_row_by_hand():
    """Inputs ±1 and targets ±2, penalty 2: without the other row the weight is 2 / (1 + 2)."""
    sides = torch.tensor([[1.0], [-1.0]])
    weights, predicted = fit_left_out(sides, 2 * sides, [2.0])
    assert weights.item() == pytest.approx(4 / (2 + 2))
    assert predicted.squeeze(1).tolist() == pytest.approx([2 / 3, -2 / 3])


def test_each_column_takes_the_penalty_that_foretells_it_best():
    inputs, targets = data(40, 10)
    penalties = [0.1, 1.0, 10.0, 100.0, 1000.0]
    chosen = fit_left_out(inputs, targets, penalties)
    alone = [fit_left_out(inputs, targets, [penalty]) for penalty in penalties]
    centred = targets - targets.mean(0)
    errors = torch.stack([(centred - predicted).square().mean(0) for _, predicted in alone])
    best = errors.argmin(0).tolist()
    assert best[0] < best[1]  # the second target is noise alone
    for column, place in enumerate(best):
        for found, expected in zip(chosen, alone[place], strict=True):
            torch.testing.assert_close(found[:, column], expected[:, column])
