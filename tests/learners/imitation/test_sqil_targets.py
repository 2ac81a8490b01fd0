import math

import pytest
import torch

from lightrec.learners.imitation.sqil_targets import soft_q_loss, soft_value


def test_soft_value_lies_above_the_best():
    values = torch.tensor([[1.0, 1.0], [2.0, -torch.inf]])
    found = soft_value(values, 0.5)
    assert found.tolist() == pytest.approx([1 + 0.5 * math.log(2), 2.0])


def test_loss_is_the_squared_soft_bellman_error():
    values = torch.tensor([[1.0, 4.0], [2.0, 3.0], [0.0, 5.0]], requires_grad=True)
    following = torch.tensor([[0.0, 0.0], [1.0, 2.0], [9.0, 9.0]], requires_grad=True)
    loss = soft_q_loss(
        values,
        torch.tensor([[1], [0], [1]]),
        torch.tensor([1.0, 0.0, 0.0]),
        following,
        torch.tensor([False, False, True]),
        discount=0.5,
        temperature=2.0,
    )
    errors = [
        4 - 1 - 0.5 * 2 * math.log(2),
        2 - 0.5 * 2 * math.log(math.exp(0.5) + math.exp(1)),
        5.0,  # nothing comes after an end
    ]
    assert loss.item() == pytest.approx(sum(e**2 for e in errors) / 3)
    loss.backward()
    assert following.grad is None
    expected = torch.zeros(3, 2)
    expected[[0, 1, 2], [1, 0, 1]] = torch.tensor(errors) * 2 / 3
    torch.testing.assert_close(values.grad, expected)


def test_fixed_point_is_the_soft_value_of_the_indicator():
    """One state with two actions, the expert takes the first: Q = (1, 0) + γ V, by iteration."""
    q, gamma, temperature = torch.zeros(2), 0.9, 0.3
    for _ in range(500):
        q = torch.tensor([1.0, 0.0]) + gamma * soft_value(q, temperature)
    batch = q.expand(2, 2)
    loss = soft_q_loss(
        batch,
        torch.tensor([[0], [1]]),
        torch.tensor([1.0, 0.0]),
        batch,
        torch.zeros(2, dtype=torch.bool),
        discount=gamma,
        temperature=temperature,
    )
    assert loss.item() == pytest.approx(0, abs=1e-9)
    value = temperature * math.log(math.exp(1 / temperature) + 1) / (1 - gamma)
    assert float(soft_value(q, temperature)) == pytest.approx(value, rel=1e-5)
