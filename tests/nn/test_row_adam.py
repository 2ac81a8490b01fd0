"""AdamW by rows against torch's own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import embedding

from lightrec.nn.row_adam import RowAdamW, clip_gradients

SETTINGS = {"lr": 0.03, "betas": (0.9, 0.98), "weight_decay": 0.1}


def trained(kind, table, asked, sparse, **settings):
    """A table of rows, and a dense weight beside it, after a step for each of what is asked for."""
    table, beside = (nn.Parameter(x.clone()) for x in (table, torch.ones(3)))
    optimizer = kind([{"params": [table]}, {"params": [beside]}], **SETTINGS, **settings)
    for rows in asked:
        optimizer.zero_grad()
        if sparse:
            optimizer.catch_up(table, rows.unique())
        # A row that is asked for twice has the sum of both slopes.
        (embedding(rows, table, sparse=sparse) @ beside).square().sum().backward()
        optimizer.step()
    if sparse:
        optimizer.catch_up(table)
    return table.detach(), beside.detach(), optimizer


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("often", [1.0, 0.2])
def test_rows_are_where_torch_would_have_them(fused, often):
    chance = torch.Generator().manual_seed(0)
    table = torch.randn(8, 3, generator=chance)
    asked = [torch.randint(8, (6,), generator=chance) for _ in range(300)]
    if often < 1:  # the last rows wait for hundreds of steps
        asked = [rows % 4 if number % 97 else rows for number, rows in enumerate(asked)]
    expected = trained(torch.optim.AdamW, table, asked, False, fused=fused)
    found = trained(RowAdamW, table, asked, True, fused=fused)
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    for one, other in zip(found[2].state.values(), expected[2].state.values(), strict=True):
        for name, value in other.items():
            torch.testing.assert_close(one[name], value, atol=1e-4, rtol=1e-3)


def test_a_resumed_training_goes_on_as_an_unbroken_one():
    table = torch.randn(8, 3)
    asked = [torch.randint(8, (2,)) for _ in range(60)]

    def go(optimizer, rows):
        (parameter,) = optimizer.param_groups[0]["params"]
        for some in rows:
            optimizer.zero_grad()
            optimizer.catch_up(parameter, some.unique())
            (embedding(some, parameter, sparse=True) - 1).square().sum().backward()
            optimizer.step()
        return optimizer.state_dict(), parameter.detach().clone()

    whole = go(RowAdamW([nn.Parameter(table.clone())], **SETTINGS), asked)
    state, first = go(RowAdamW([nn.Parameter(table.clone())], **SETTINGS), asked[:30])
    later = RowAdamW([nn.Parameter(first)], **SETTINGS)
    later.load_state_dict(copy.deepcopy(state))
    resumed = go(later, asked[30:])
    torch.testing.assert_close(resumed[1], whole[1])
    assert whole[0]["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}


def test_dense_gradients_have_the_steps_of_torch():
    table, rows = torch.randn(5, 3), torch.tensor([1, 3])
    expected = trained(torch.optim.AdamW, table, [rows] * 4, False)
    found = trained(RowAdamW, table, [rows] * 4, False)
    assert torch.equal(found[0], expected[0])


@pytest.mark.parametrize("most", [0.1, 1e6])
def test_sparse_gradients_are_clipped_as_dense_ones(most):
    table, rows = nn.Parameter(torch.randn(5, 3)), torch.tensor([1, 3, 1])
    other = copy.deepcopy(table)
    beside = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    (embedding(rows, table, sparse=True) @ beside[0]).square().sum().backward()
    (embedding(rows, other) @ beside[1]).square().sum().backward()
    clip_gradients([table, beside[0]], most)
    torch.nn.utils.clip_grad_norm_([other, beside[1]], most)
    torch.testing.assert_close(table.grad.to_dense(), other.grad)
    torch.testing.assert_close(beside[0].grad, beside[1].grad)
